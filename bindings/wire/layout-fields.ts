/** A guest's layout inside a hello: read from JSON, every field checked. */
import type { GuestLayout, ResourceFact } from "../ports/guest.ts";
import type { Fields } from "./fields.ts";
import {
	MAX_FACT_CHARACTERS,
	MAX_FACTS,
	MAX_NAME_CHARACTERS,
	MAX_PAGE_BYTES,
	MAX_PAGE_COUNT,
	MAX_RESOURCE_BYTES,
	MAX_RESOURCES,
	MIN_PAGE_BYTES,
} from "./limits.ts";

/** Hexadecimal digits of a SHA-256. */
export const HASH_DIGITS = 64;

/** @throws {WireError} naming the field. */
export function readLayout(fields: Fields): GuestLayout {
	const pageBytes = fields.integer("pageBytes", MIN_PAGE_BYTES, MAX_PAGE_BYTES);
	if ((pageBytes & (pageBytes - 1)) !== 0) fields.fail("out-of-range", "pageBytes", "must be a power of two");
	const pageCount = fields.integer("pageCount", 0, MAX_PAGE_COUNT);
	const resources = fields.objects("resources", MAX_RESOURCES).map(readResource);
	if (new Set(resources.map((resource) => resource.hash)).size !== resources.length)
		fields.fail("out-of-range", "resources", "names a hash twice");
	return {
		kind: fields.name("kind"),
		pageBytes,
		pageCount,
		maximumPageCount: fields.integer("maximumPageCount", pageCount, MAX_PAGE_COUNT),
		resources,
		facts: readFacts(fields),
	};
}

function readResource(fields: Fields): ResourceFact {
	return {
		name: fields.text("name", MAX_NAME_CHARACTERS),
		hash: fields.hex("hash", HASH_DIGITS),
		byteLength: fields.integer("byteLength", 0, MAX_RESOURCE_BYTES),
	};
}

/** The field `facts` of an object: texts by name. @throws {WireError} naming the field. */
export function readFacts(layout: Fields): GuestLayout["facts"] {
	const facts = layout.object("facts");
	const names = facts.names();
	if (names.length > MAX_FACTS) layout.fail("out-of-range", "facts", `has more than ${MAX_FACTS} entries`);
	// Facts are looked up by name later, on plain objects.
	for (const name of names)
		if (name === "" || name.length > MAX_NAME_CHARACTERS || name === "__proto__")
			layout.fail("out-of-range", "facts", "has a name that is empty, reserved or too long");
	return Object.fromEntries(names.map((name) => [name, facts.text(name, MAX_FACT_CHARACTERS)]));
}
