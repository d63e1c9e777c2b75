// The two public entries are two lists: they must not drift apart.
import { readFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";

/** Everything an entry exports: names as a user writes them, types too. */
function exportsOf(entry: string): string[] {
	const text = readFileSync(`bindings/${entry}.ts`, "utf8").replace(/^\s*(\/\/|\*|\/\*).*$/gm, "");
	const names: string[] = [];
	for (const [, list] of text.matchAll(/export (?:type )?\{([^}]*)\}/g))
		for (const item of list!.split(","))
			if (item.trim() !== "")
				names.push(
					item
						.trim()
						.replace(/^type /, "")
						.replace(/^.* as /, ""),
				);
	assert.not.match(text, /export \*/);
	return names.sort();
}

const test = suite("public entries");

test("Node's and Deno's lists differ by their platforms only", () => {
	const node = exportsOf("index");
	const deno = exportsOf("deno");
	assert.ok(node.length > 80);
	assert.equal(new Set(node).size, node.length, "a name is exported twice");
	assert.equal(
		node.filter((name) => name !== "nodePlatform"),
		deno.filter((name) => name !== "denoPlatform"),
	);
	assert.ok(node.includes("nodePlatform") && deno.includes("denoPlatform") && node.includes("localPlatform"));
});

test.run();
