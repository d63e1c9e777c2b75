import { suite } from "uvu";
import { denoRuntime } from "./suites/deno-runtime.ts";
import { storeContract, type TestStore } from "./suites/store.ts";
import { storePiecesContract } from "./suites/store-pieces.ts";

const test = suite("folder store");
const make = async (): Promise<TestStore> => {
	const folder = await denoRuntime.temporaryFolder();
	const open = () => denoRuntime.platform.openFolderStore(`${folder}/a/new/store`);
	return { store: await open(), other: await open(), dispose: () => denoRuntime.removeFolder(folder) };
};
storeContract(test, make);
storePiecesContract(test, make);
test.run();
