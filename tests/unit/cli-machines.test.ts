import { suite } from "uvu";
import * as assert from "uvu/assert";
import { consoleChecks, LINES, LineCount } from "../../bindings/cli/linux-console.ts";
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
		push: undefined,
		to: "node",
		verification: "full",
		bandwidthBytesPerMs: undefined,
		jsonFile: undefined,
	});
	const { guest, from } = parseMachineDemoOptions(["--guest", "qemu", "--from", "deno"]);
	assert.equal([guest, from], ["qemu", "deno"]);
	for (const [words, says] of [
		[["--guest", "amiga"], /--guest amiga: with --guest use v86 or qemu/],
		[["--guest", "qemu", "--technique", "post-copy"], /--guest qemu --technique post-copy: .* cannot wait for pages/],
		[["--guest", "qemu", "--technique", "hybrid"], /--guest qemu --technique hybrid: .*use pre-copy/],
		[["--guest", "qemu", "--push", "turns"], /pre-copy leaves no pages to push/],
		[["--guest", "v86", "--technique", "teleport"], /--technique teleport/],
		[["--guest", "v86", "--bandwidth", "none"], /--bandwidth none/],
		[["--guest", "v86", "--program", "sqlite"], /Unknown option '--program'.*with --guest/],
	] as const)
		assert.throws(
			() => parseMachineDemoOptions(words),
			(error: unknown) => error instanceof UsageError && says.test(error.message),
			words.join(" "),
		);
});

const STEPS = [
	["count", 1],
	["oracle", 200],
	["md5", 1],
] as const;

/** What the three programs write in these rounds, the first one's number being 1. */
const written = (first: number, last: number, end = "\n"): string =>
	Array.from({ length: last - first + 1 }, (_, at) =>
		STEPS.map(([word, step]) => `${word} ${(first + at) * step} ok${end}`).join(""),
	).join("");

const BEFORE = written(1, LINES);
const AFTER = written(LINES + 1, 2 * LINES);
const failed = (before: string, after: string): string[] =>
	consoleChecks(before + after, before.length)
		.filter(({ ok }) => !ok)
		.map(({ name }) => name);

test("programs that go on after the move without a gap are verified, however their lines are cut", () => {
	assert.equal(failed(BEFORE, AFTER), []);
	assert.equal(failed(BEFORE.replaceAll("\n", "\r\n"), AFTER.replaceAll("\n", "\r\n")), []);
	// The move comes in the middle of a line: it counts as written after it.
	const whole = BEFORE + AFTER;
	const cut = BEFORE.length + 3;
	assert.equal(failed(whole.slice(0, cut), whole.slice(cut)), []);
	assert.equal(failed(`# ${BEFORE}`, AFTER), [], "a first line may stand behind a prompt");
});

test("a program that stands still after the move is not verified, whatever it wrote before", () => {
	const lacking = (word: string): string => AFTER.replace(new RegExp(`^${word} .*\n`, "gm"), "");
	for (const [word] of STEPS) assert.equal(failed(BEFORE, lacking(word)), [word]);
	assert.equal(failed(BEFORE + AFTER, ""), ["count", "oracle", "md5"]);
	assert.equal(failed("", BEFORE + AFTER), ["count", "oracle", "md5"], "nor one that wrote nothing before it");
	assert.equal(failed("", ""), ["count", "oracle", "md5"]);
});

test("lines are counted from a place on, as the text grows, a line across it included", () => {
	const whole = BEFORE + AFTER;
	const place = BEFORE.length + 3;
	const lines = new LineCount(whole.slice(0, place), place);
	for (let end = place; end < whole.length; end++) assert.ok(lines.missing(whole.slice(0, end)) > 0, `at ${end}`);
	assert.is(String(lines), `count ${LINES}, oracle ${LINES}, md5 ${LINES - 1}`);
	assert.is(lines.missing(whole), 0);
	assert.is(new LineCount("", 0).missing(BEFORE), 0);
	assert.is(new LineCount(BEFORE, BEFORE.length).missing(BEFORE), 3 * LINES);
});

test("a gap, a repetition, a start from the beginning and a fault are not verified", () => {
	for (const [word, step] of STEPS) {
		const line = new RegExp(`^${word} ${(LINES + 1) * step} ok\n`, "m");
		const more = written(2 * LINES + 1, 2 * LINES + 1);
		assert.equal(failed(BEFORE, (AFTER + more).replace(line, "")), [word], "the first line after the move is lost");
		assert.equal(failed(BEFORE, AFTER.replace(line, "$&$&")), [word], "and written twice");
	}
	assert.equal(failed(BEFORE, BEFORE), ["count", "oracle", "md5"], "every program has begun again");
	for (const fault of ["oracle BAD page 7 is 1 not 2", "md5 BAD", "Oops: 0002", "Kernel panic - not syncing"])
		assert.equal(failed(BEFORE, `${AFTER}${fault}\n`), ["faults"]);
});

test.run();
