// A guest saved by one process and runtime goes on in another: Node to Deno to Node, through one folder.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ProcessCommand } from "../../bindings/ports/process.ts";
import { nodeRuntime } from "../contract/suites/node-runtime.ts";

const test = suite("snapshots between runtimes");

async function run(command: ProcessCommand): Promise<readonly string[]> {
	const process = await nodeRuntime.platform.processes.start(command);
	const lines: string[] = [];
	for await (const line of process.lines) lines.push(line);
	assert.is((await process.ended).code, 0, process.errorText());
	return lines.filter((line) => line.startsWith("counted"));
}

test("a guest that Node saved counts on in Deno, and what Deno saved counts on in Node", async () => {
	const folder = await nodeRuntime.temporaryFolder();
	try {
		const saved = await run(nodeRuntime.program("save-and-restore", "save", folder));
		assert.equal(
			saved,
			[1, 2, 3, 4, 5].map((count) => `counted number:${count}`),
		);
		const inDeno = await run(nodeRuntime.foreignProgram!("save-and-restore", "restore", folder, "5"));
		assert.equal(
			inDeno,
			[6, 7, 8].map((count) => `counted number:${count}`),
		);
		const inNode = await run(nodeRuntime.program("save-and-restore", "restore", folder, "8"));
		assert.equal(
			inNode,
			[9, 10, 11].map((count) => `counted number:${count}`),
		);
	} finally {
		await nodeRuntime.removeFolder(folder);
	}
});

test.run();
