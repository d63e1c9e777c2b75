// The npm package `v86`, an optional peer dependency: found where the user has installed it, never bundled.
import { GuestError } from "../../ports/guest.ts";
import type { HostFiles } from "../../ports/host-files.ts";
import { checkVersion, V86_VERSION, type V86Build } from "./emulator.ts";

/**
 * Loads v86, which guests in v86 are built from.
 *
 * @param files - `localPlatform().files`
 * @throws {GuestError} `incompatible` when it is not installed, or in another version than {@link V86_VERSION}
 */
export async function loadV86(files: Pick<HostFiles, "read">): Promise<V86Build> {
	const build = await open(files);
	checkVersion(build);
	return build;
}

async function open(files: Pick<HostFiles, "read">): Promise<V86Build> {
	try {
		const { V86 } = await import("v86");
		const read = async (specifier: string): Promise<Uint8Array<ArrayBuffer>> => {
			const bytes = await files.read(decodeURIComponent(new URL(import.meta.resolve(specifier)).pathname));
			if (bytes === undefined) throw new GuestError("incompatible", `${specifier} is missing`);
			return bytes;
		};
		const about: { version?: unknown } = JSON.parse(new TextDecoder().decode(await read("v86/package.json")));
		return { version: String(about.version), V86, wasm: await read("v86/build/v86.wasm") };
	} catch (cause) {
		throw new GuestError(
			"incompatible",
			`the package v86 cannot be loaded: npm install --save-exact v86@${V86_VERSION} (it is an optional peer dependency)`,
			cause,
		);
	}
}
