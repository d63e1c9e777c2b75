import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parseDemoOptions, UsageError } from "../../bindings/cli/options.ts";

const test = suite("the demo's options");

test("without words everything has a default", () => {
	const { program, ...rest } = parseDemoOptions([]);
	assert.is(program.name, "sqlite");
	assert.equal(rest, {
		technique: "pre-copy",
		push: undefined,
		order: undefined,
		checkpoints: false,
		from: "node",
		to: "node",
		link: "tcp",
		memoryMiB: 64,
		load: 500,
		requests: 3000,
		verification: "full",
		bandwidthBytesPerMs: undefined,
		jsonFile: undefined,
	});
});

test("as many requests as six seconds hold, unless they are given or there is no rate", () => {
	assert.is(parseDemoOptions(["--load", "200"]).requests, 1200);
	assert.is(parseDemoOptions(["--load", "200", "--requests", "50"]).requests, 50);
	assert.ok(parseDemoOptions(["--load", "0"]).requests > 1000);
});

test("a bandwidth in MB/s becomes bytes per ms", () => {
	assert.is(parseDemoOptions(["--bandwidth", "117"]).bandwidthBytesPerMs, 117_000);
	assert.is(parseDemoOptions(["--bandwidth=0.5"]).bandwidthBytesPerMs, 500);
});

test("every wrong word is named, with what would be right", () => {
	const wrong: readonly (readonly [readonly string[], RegExp])[] = [
		[["--technique", "warp"], /--technique warp: unknown; use pre-copy or stop-and-copy or post-copy or hybrid/],
		[["--push", "pull"], /--push pull: unknown; use demand or active or prepaging or turns/],
		[["--push", "turns"], /--push turns: pre-copy leaves no pages to push; use --technique post-copy or hybrid/],
		[["--order", "random"], /--order random: unknown; use address or lru/],
		[["--order", "lru"], /--order: pre-copy leaves no pages to follow the guest; use --technique post-copy or hybrid/],
		[["--checkpoints"], /--checkpoints: pre-copy leaves no pages to follow the guest/],
		[["--to", "browser"], /--to browser: unknown; use node or deno/],
		[["--memory", "4096"], /--memory 4096: must be a whole number from 0 to 3584/],
		[["--memory", "1.5"], /--memory 1\.5/],
		[["--load", "-5"], /--load/],
		[["--requests", "1"], /--requests 1: must be a whole number from 2/],
		[["--bandwidth", "fast"], /--bandwidth fast/],
		[["--verification", "none"], /--verification none: unknown; use transport or full/],
		[["--link", "udp"], /--link udp/],
		[["--nonsense"], /--nonsense/],
		[["extra"], /extra/],
	];
	for (const [args, says] of wrong)
		try {
			parseDemoOptions(args);
			assert.unreachable(args.join(" "));
		} catch (error) {
			assert.instance(error, UsageError, `${args.join(" ")}: ${error}`);
			assert.match((error as Error).message, says);
		}
});

test("the order in which pages follow is named by one word", () => {
	const orderOf = (...words: readonly string[]) => parseDemoOptions(["--technique", "hybrid", ...words]).push;
	assert.is(orderOf(), undefined);
	assert.equal(orderOf("--push", "active"), { variant: "push" });
	assert.equal(orderOf("--push", "demand"), { variant: "demand", pushAfterMs: 3000 });
	assert.equal(orderOf("--push", "prepaging"), { variant: "prepaging", pivots: 7, direction: "dual", order: "edges" });
	assert.equal(orderOf("--push", "turns"), { variant: "prepaging", pivots: 3, direction: "dual", order: "turns" });
});

test.run();
