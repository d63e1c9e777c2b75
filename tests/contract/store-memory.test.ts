import { suite } from "uvu";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { storeContract } from "./suites/store.ts";

const test = suite("memory store");
storeContract(test, async () => {
	const store = new MemoryStore();
	return { store, other: store, dispose: async () => {} };
});
test.run();
