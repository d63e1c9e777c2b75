import { suite } from "uvu";
import * as assert from "uvu/assert";
import { findInPackage } from "../../bindings/guests/v86/package.ts";

const test = suite("package v86");

const urlOf = (path: string): string => new URL(path, "file://").href;

/** Files by their paths. */
const filesAt = (...paths: readonly string[]) => {
	const asked: string[] = [];
	const read = async (path: string): Promise<Uint8Array<ArrayBuffer> | undefined> => {
		asked.push(path);
		return paths.includes(path) ? Uint8Array.of(paths.indexOf(path)) : undefined;
	};
	return { read, asked };
};

test("where the runtime does not say where packages are, the nearest node_modules above the module has it", async () => {
	const near = "/app/node_modules/pageferry/node_modules/v86/package.json";
	const beside = "/app/node_modules/v86/package.json";
	const module = urlOf("/app/node_modules/pageferry/dist/guests-v86.js");
	assert.equal(await findInPackage(filesAt(beside), module, "package.json"), Uint8Array.of(0));
	assert.equal(await findInPackage(filesAt(beside, near), module, "package.json"), Uint8Array.of(1));
	assert.equal(
		await findInPackage(filesAt("/my app/node_modules/v86/build/v86.wasm"), urlOf("/my app/x.js"), "build/v86.wasm"),
		Uint8Array.of(0),
	);
});

test("a package that is nowhere above the module is not there", async () => {
	const { read, asked } = filesAt();
	assert.is(await findInPackage({ read }, urlOf("/a/b/c.js"), "package.json"), undefined);
	assert.equal(asked, [
		"/a/b/node_modules/v86/package.json",
		"/a/node_modules/v86/package.json",
		"/node_modules/v86/package.json",
	]);
});

test.run();
