import { suite } from "uvu";
import { denoRuntime } from "./suites/deno-runtime.ts";
import { storeContract } from "./suites/store.ts";

const test = suite("folder store");
storeContract(test, async () => {
	const folder = await denoRuntime.temporaryFolder();
	const open = () => denoRuntime.platform.openFolderStore(`${folder}/a/new/store`);
	return { store: await open(), other: await open(), dispose: () => denoRuntime.removeFolder(folder) };
});
test.run();
