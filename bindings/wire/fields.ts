/**
 * Validators for the fields of JSON payloads. A {@link Fields} reads one object: unknown fields are ignored (a later
 * version may add some), required ones are checked for presence, type, range and form, and only own properties count, so
 * that nothing in a payload can reach a prototype.
 */
import { MAX_MESSAGE_CHARACTERS, MAX_NAME_CHARACTERS } from "./limits.ts";
import { WireError, type WireErrorCode } from "./wire-error.ts";

/** Names of programs, techniques and errors. */
const NAME = /^[a-z0-9][a-z0-9-]*$/;

/** C0 and C1 controls but tab and newline: a peer's message ends up on a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is replaced
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Reads the fields of one JSON object. */
export class Fields {
	readonly #record: string;
	readonly #path: string;
	readonly #values: ReadonlyMap<string, unknown>;

	/**
	 * @param record - the record's name, for messages.
	 * @param value - what `JSON.parse` gave.
	 * @param path - where the object is in the record; empty for the record itself.
	 * @throws {WireError} `malformed` if it is no object.
	 */
	constructor(record: string, value: unknown, path = "") {
		this.#record = record;
		this.#path = path;
		if (typeof value !== "object" || value === null || Array.isArray(value))
			throw new WireError(path === "" ? "malformed" : "wrong-type", record, path, "must be an object");
		this.#values = new Map(Object.entries(value));
	}

	/** The names of all fields. */
	names(): readonly string[] {
		return [...this.#values.keys()];
	}

	/** Whether the field is there; `null` counts as absent. */
	has(name: string): boolean {
		return this.#values.get(name) !== undefined && this.#values.get(name) !== null;
	}

	/** An object. */
	object(name: string): Fields {
		return new Fields(this.#record, this.#required(name), this.#at(name));
	}

	/** An array of at most `maximumLength` items. */
	list(name: string, maximumLength: number): readonly unknown[] {
		const value = this.#required(name);
		if (!Array.isArray(value)) this.fail("wrong-type", name, "must be an array");
		if (value.length > maximumLength) this.fail("out-of-range", name, `has more than ${maximumLength} items`);
		return value;
	}

	/** The items of an array of objects. */
	objects(name: string, maximumLength: number): readonly Fields[] {
		return this.list(name, maximumLength).map((item, i) => new Fields(this.#record, item, `${this.#at(name)}[${i}]`));
	}

	/** An integer of [minimum, maximum]. */
	integer(name: string, minimum: number, maximum: number): number {
		const value = this.#required(name);
		if (typeof value !== "number") this.fail("wrong-type", name, "must be a number");
		if (!Number.isInteger(value) || value < minimum || value > maximum)
			this.fail("out-of-range", name, `must be an integer from ${minimum} to ${maximum}`);
		return value;
	}

	/** An array of at most `maximumLength` integers of [minimum, maximum]. */
	integers(name: string, maximumLength: number, minimum: number, maximum: number): readonly number[] {
		return this.list(name, maximumLength).map((value) => {
			if (typeof value !== "number") this.fail("wrong-type", name, "must hold numbers");
			if (!Number.isInteger(value) || value < minimum || value > maximum)
				this.fail("out-of-range", name, `must hold integers from ${minimum} to ${maximum}`);
			return value;
		});
	}

	/** `true` or `false`. */
	flag(name: string): boolean {
		const value = this.#required(name);
		if (typeof value !== "boolean") this.fail("wrong-type", name, "must be true or false");
		return value;
	}

	/** A finite number that is not negative. */
	duration(name: string): number {
		const value = this.#required(name);
		if (typeof value !== "number") this.fail("wrong-type", name, "must be a number");
		if (!Number.isFinite(value) || value < 0) this.fail("out-of-range", name, "must be a finite number, 0 or more");
		return value;
	}

	/** Text of at most `maximumLength` UTF-16 units. */
	text(name: string, maximumLength: number): string {
		const value = this.#required(name);
		if (typeof value !== "string") this.fail("wrong-type", name, "must be a string");
		if (value.length > maximumLength) this.fail("out-of-range", name, `is longer than ${maximumLength} characters`);
		return value;
	}

	/** Text of a given form. */
	matching(name: string, maximumLength: number, form: RegExp): string {
		const value = this.text(name, maximumLength);
		if (!form.test(value)) this.fail("out-of-range", name, `must match ${form.source}`);
		return value;
	}

	/** Lower-case letters, digits and `-`, beginning with a letter or digit. */
	name(name: string, maximumLength: number = MAX_NAME_CHARACTERS): string {
		return this.matching(name, maximumLength, NAME);
	}

	/** Exactly `digits` lower-case hexadecimal digits. */
	hex(name: string, digits: number): string {
		return this.matching(name, digits, new RegExp(`^[0-9a-f]{${digits}}$`));
	}

	/** One of a few words. */
	oneOf<Word extends string>(name: string, words: readonly Word[]): Word {
		const value = this.#required(name);
		if (typeof value !== "string") this.fail("wrong-type", name, "must be a string");
		const word = words.find((candidate) => candidate === value);
		if (word === undefined) this.fail("out-of-range", name, `must be one of ${words.join(", ")}`);
		return word;
	}

	/** A message for people, with control characters replaced. */
	message(name: string): string {
		return this.text(name, MAX_MESSAGE_CHARACTERS).replace(CONTROLS, "\ufffd");
	}

	/** @throws {WireError} always. */
	fail(code: WireErrorCode, name: string, message: string): never {
		throw new WireError(code, this.#record, this.#at(name), message);
	}

	#required(name: string): unknown {
		if (!this.has(name)) this.fail("missing", name, "is missing");
		return this.#values.get(name);
	}

	#at(name: string): string {
		return this.#path === "" ? name : `${this.#path}.${name}`;
	}
}
