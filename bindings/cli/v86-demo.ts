/** `pageferry demo --guest v86` (machine-demo.ts): what it needs of this computer. */
import { loadV86 } from "../guests/v86/index.ts";
import { machineCommand } from "./executables.ts";
import { type MachineDemoResult, type MachineDemoServices, runMachineDemo } from "./machine-demo.ts";
import type { MachineDemoOptions } from "./machine-options.ts";
import { MissingLinuxError } from "./missing-linux.ts";
import { V86_READY } from "./v86-side.ts";

/** Runs it. @throws {MissingLinuxError}, {GuestError} without v86, and as {@link runMachineDemo} */
export async function runV86Demo(
	options: MachineDemoOptions,
	services: MachineDemoServices,
): Promise<MachineDemoResult> {
	const { files } = services.platform;
	if ((await files.read(`${V86_READY}/manifest.json`)) === undefined)
		throw new MissingLinuxError(
			`${V86_READY} is missing: \`npm run guests\` in the project's repository prepares the Linux (root on Debian)`,
		);
	await loadV86(files);
	return runMachineDemo(options, { ...services, command: machineCommand("v86", services.dist) });
}
