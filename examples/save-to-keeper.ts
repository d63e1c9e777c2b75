// A keeper on another side of a link: a guest is saved there while it goes on here (Live Migration Save), and a snapshot that
// is finished here is sent when somebody asks for it. Both stores are folders; here they are in one process.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import {
	keepSnapshots,
	liveSave,
	localPlatform,
	MemoryGuest,
	openLinkPair,
	SnapshotStore,
	saveTo,
	sendSnapshot,
} from "pageferry";

const { clock, random, openFolderStore } = localPlatform();
const path = await mkdtemp(`${tmpdir()}/pageferry-example-`);
const openStore = async (name: string) =>
	new SnapshotStore(await openFolderStore(`${path}/${name}`), { clock, random });
const [here, there] = [await openStore("here"), await openStore("there")];
const guest = new MemoryGuest({ pageCount: 4096 }); // 16 MiB
guest.write(0, new TextEncoder().encode("worth keeping"));

/** A link to the keeper, which serves it until we close it. Between machines: `openLink` over a stream. */
function connect() {
	const [link, incoming] = openLinkPair();
	return { link, keeping: keepSnapshots({ link: incoming, store: there, clock }) };
}

const first = connect();
const { snapshot: saved, metrics } = await saveTo({ guest, link: first.link, clock }, { label: "there at once" });
await first.keeping;
console.log(`${saved.id} is durable at the keeper; downtime ${metrics.downtimeMs.toFixed(1)} ms`);

guest.write(0, new TextEncoder().encode("worth sending"));
const { snapshot: local } = await liveSave({ guest, store: here, clock }, { label: "here, for now" });
const second = connect();
const sent = await sendSnapshot({ snapshot: await here.open(local.id), link: second.link, clock });
await second.keeping;
if (sent.digest !== local.digest) throw new Error("another snapshot than was sent");
for (const { id, label } of await there.list()) {
	const { pages, bytes } = await there.verify(id);
	console.log(`the keeper has '${label}': ${pages} pages verified, ${bytes} bytes read`);
}
await guest.discard();
await rm(path, { recursive: true });
