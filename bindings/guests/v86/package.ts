// The npm package `v86`, an optional peer dependency: found where the user has installed it, never bundled.
import { GuestError } from "../../ports/guest.ts";
import type { HostFiles } from "../../ports/host-files.ts";
import { checkVersion, V86_VERSION, type V86Build } from "./emulator.ts";

type Files = Pick<HostFiles, "read">;

/**
 * Loads v86, which guests in v86 are built from.
 *
 * @param files - `localPlatform().files`
 * @throws {GuestError} `incompatible` when it is not installed, or in another version than {@link V86_VERSION}
 */
export async function loadV86(files: Files): Promise<V86Build> {
	try {
		const about: { version?: unknown } = JSON.parse(new TextDecoder().decode(await read(files, "package.json")));
		const version = String(about.version);
		// Before its code is loaded: another version's may be elsewhere, or none that this runtime can load.
		checkVersion({ version });
		const { V86 } = await import("v86");
		return { version, V86, wasm: await read(files, "build/v86.wasm") };
	} catch (cause) {
		if (cause instanceof GuestError) throw cause;
		throw cannotLoad(cause instanceof Error ? cause.message : String(cause), cause);
	}
}

function cannotLoad(reason: string, cause?: unknown): GuestError {
	const advice = `npm install --save-exact v86@${V86_VERSION} (it is an optional peer dependency)`;
	return new GuestError("incompatible", `the package v86 cannot be loaded: ${advice}: ${reason}`, cause);
}

async function read(files: Files, path: string): Promise<Uint8Array<ArrayBuffer>> {
	// Node has `resolve` from 20.6 on, whatever the types say.
	const { url, resolve }: { readonly url: string; readonly resolve?: (specifier: string) => string } = import.meta;
	const bytes =
		resolve === undefined ? await findInPackage(files, url, path) : await files.read(pathOf(resolve(`v86/${path}`)));
	if (bytes === undefined) throw cannotLoad(`there is no v86/${path}`);
	return bytes;
}

/**
 * A file of the package, for a runtime that does not say where packages are: in the `node_modules` nearest to a module.
 * @param from - URL of the module that asks
 */
export async function findInPackage(
	files: Files,
	from: string,
	path: string,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
	for (let folder = new URL(".", from); ; folder = new URL("..", folder)) {
		const bytes = await files.read(pathOf(new URL(`node_modules/v86/${path}`, folder).href));
		if (bytes !== undefined || folder.pathname === "/") return bytes;
	}
}

const pathOf = (url: string): string => decodeURIComponent(new URL(url).pathname);
