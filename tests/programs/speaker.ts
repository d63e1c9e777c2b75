// Says what it is told to: the processes of the ProcessPort's contract.
import process from "node:process";
import { print, programArguments, thisPlatform } from "./this-runtime.ts";

const [task = "", ...rest] = programArguments;
const platform = await thisPlatform();

/** Resolves when the system has taken the text. */
const write = (stream: NodeJS.WriteStream, text: string) =>
	new Promise<void>((resolve) => {
		stream.write(text, () => resolve());
	});

switch (task) {
	case "print":
		await write(process.stdout, rest[0] ?? "");
		break;
	case "flood":
		for (let from = 0, count = Number(rest[0]); from < count; from += 1000) {
			const lines = Array.from({ length: 1000 }, (_, index) => `line ${from + index}\n`);
			await write(process.stdout, lines.join(""));
		}
		break;
	case "long line":
		await write(process.stdout, "x".repeat(Number(rest[0])));
		break;
	case "fail":
		await write(process.stderr, `${rest[1]}\n`);
		process.exitCode = Number(rest[0]);
		break;
	case "complain":
		await write(process.stderr, `${"y".repeat(Number(rest[0]))}the end`);
		break;
	case "wait":
		print("waiting");
		await platform.clock.sleep(Number.POSITIVE_INFINITY);
		break;
	case "environment":
		print(String(process.env.PAGEFERRY_TEST));
		print(String(process.env.PATH));
		for await (const _ of process.stdin) print("some input");
		print("end of input");
		break;
	// A child keeps its parent's event loop alive: the parent ends by an exit or by an error.
	case "leave a child": {
		const [executable = "", ...args] =
			"Deno" in globalThis ? [process.execPath, "run", "--allow-all", "--no-check"] : [process.execPath];
		const child = await platform.processes.start({ executable, args: [...args, process.argv[1] ?? "", "wait"] });
		for await (const line of child.lines) if (line === "waiting") break;
		print(`child ${child.pid}`);
		if (rest[0] === "throw") throw new RangeError("on purpose");
		process.exit(3);
	}
}
