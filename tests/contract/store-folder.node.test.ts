import { suite } from "uvu";
import { nodeRuntime } from "./suites/node-runtime.ts";
import { storeContract } from "./suites/store.ts";

const test = suite("folder store");
storeContract(test, async () => {
	const folder = await nodeRuntime.temporaryFolder();
	const open = () => nodeRuntime.platform.openFolderStore(`${folder}/a/new/store`);
	return { store: await open(), other: await open(), dispose: () => nodeRuntime.removeFolder(folder) };
});
test.run();
