import { suite } from "uvu";
import { nodeRuntime } from "./suites/node-runtime.ts";
import { storeContract, type TestStore } from "./suites/store.ts";
import { storePiecesContract } from "./suites/store-pieces.ts";

const test = suite("folder store");
const make = async (): Promise<TestStore> => {
	const folder = await nodeRuntime.temporaryFolder();
	const open = () => nodeRuntime.platform.openFolderStore(`${folder}/a/new/store`);
	return { store: await open(), other: await open(), dispose: () => nodeRuntime.removeFolder(folder) };
};
storeContract(test, make);
storePiecesContract(test, make);
test.run();
