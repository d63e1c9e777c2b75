import { suite } from "uvu";
import * as assert from "uvu/assert";
import { consoleChecks } from "../../bindings/cli/linux-console.ts";
import { asksForGuest, parseMachineDemoOptions } from "../../bindings/cli/machine-options.ts";
import { UsageError } from "../../bindings/cli/options.ts";

const test = suite("demo of a Linux in v86 or under QEMU");

test("options have defaults, and what it cannot do is refused by name", () => {
	assert.ok(asksForGuest(["--guest", "v86"]));
	assert.ok(asksForGuest(["--guest=v86"]));
	assert.not.ok(asksForGuest(["--program", "lua"]));
	assert.equal(parseMachineDemoOptions(["--guest", "v86"]), {
		guest: "v86",
		from: "node",
		technique: "pre-copy",
		to: "node",
		verification: "full",
		bandwidthBytesPerMs: undefined,
		jsonFile: undefined,
	});
	const { guest, from } = parseMachineDemoOptions(["--guest", "qemu", "--from", "deno"]);
	assert.equal([guest, from], ["qemu", "deno"]);
	for (const words of [
		["--guest", "v86", "--from", "deno"],
		["--guest", "amiga"],
		["--guest", "v86", "--technique", "post-copy"],
		["--guest", "v86", "--bandwidth", "none"],
		["--guest", "v86", "--program", "sqlite"],
	])
		assert.throws(
			() => parseMachineDemoOptions(words),
			(error: unknown) => error instanceof UsageError,
			words.join(" "),
		);
});

const LINES = "count 1\noracle 200 ok\nmd5 1 ok\ncount 2\noracle 400 ok\nmd5 2 ok\ncount 3\noracle 600 ok\nmd5 3 ok\n";
const failed = (text: string): string[] =>
	consoleChecks(text, "")
		.filter(({ ok }) => !ok)
		.map(({ name }) => name);

test("a console without a gap is verified, one with a gap or a fault is not", () => {
	assert.equal(failed(LINES), []);
	assert.equal(failed(LINES.replaceAll("\n", "\r\n")), []);
	assert.equal(failed(LINES.replace("count 2\n", "")), ["count"]);
	assert.equal(failed(`${LINES}count 5\n`), ["count"]);
	assert.equal(failed(`${LINES}oracle 600 ok\n`), ["oracle"]);
	assert.equal(failed(`${LINES}oracle BAD page 7 is 1 not 2\n`), ["faults"]);
	assert.equal(failed(""), ["count", "oracle", "md5"]);
});

test.run();
