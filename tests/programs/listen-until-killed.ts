// Listens on the unix-domain socket PATH and accepts whatever comes, until it is killed.
import { print, programArguments, thisPlatform } from "./this-runtime.ts";

const [path = ""] = programArguments;
const listener = await (await thisPlatform()).listen({ transport: "unix", path });
print("listening");
for (;;) await listener.accept();
