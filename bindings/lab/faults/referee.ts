/**
 * What must hold at every moment, whatever fails. The referee looks after each event, at each pause, activation, write,
 * read and installation.
 *
 * | promise | looked at |
 * | --- | --- |
 * | never two copies that can run | after each event |
 * | whoever runs holds the lease, if there is one | after each event |
 * | an activated copy is what the guest was at its pause, but for pages that are known to be missing | at each resume |
 * | a paused copy does not change | at each resume |
 * | a running guest reads and writes what it wrote last, wherever that was | at each touch |
 * | a page is installed at most once | at each installation |
 * | progress does not run backwards | at each report |
 *
 * The oracle is one table of versions: how often the one guest has written each page, wherever it ran.
 */
import type { SyntheticGuest } from "../synthetic-guest.ts";
import type { Findings } from "./findings.ts";
import type { Host, LeaseKeeper } from "./host.ts";

interface Copy {
	readonly guest: SyntheticGuest;
	readonly host: Host;
	readonly name: string;
	atPause: Uint32Array | undefined;
	readonly installed: Map<number, number>;
}

/** See the head of this file. */
export class Referee {
	readonly #findings: Findings;
	readonly #copies: Copy[] = [];
	readonly #keeper: LeaseKeeper | undefined;
	#oracle: Uint32Array<ArrayBuffer>;
	#goesBack = false;
	/** Whether pages were given up on the caller's word: then contents prove nothing any more. */
	#lostPages = false;

	/** @param versions - what the guest has written when the run begins. */
	constructor(findings: Findings, keeper: LeaseKeeper | undefined, versions: Uint32Array<ArrayBuffer>) {
		this.#findings = findings;
		this.#keeper = keeper;
		this.#oracle = versions.slice();
	}

	/** Copies that can run now. */
	get runners(): readonly SyntheticGuest[] {
		return this.#copies.filter(isRunner).map(({ guest }) => guest);
	}

	/** After each event. */
	look(): void {
		let runner: Copy | undefined;
		for (const copy of this.#copies) {
			if (!isRunner(copy)) continue;
			if (runner !== undefined) this.#findings.violation(`two copies can run: ${runner.name} and ${copy.name}`);
			runner = copy;
		}
		if (runner === undefined || this.#keeper === undefined || this.#keeper.holder === runner.host) return;
		this.#findings.violation(`${runner.name} runs, the lease is held by ${this.#keeper.holder?.name ?? "nobody"}`);
	}

	/** The caller has decided to go back to an older copy: what was written since is lost, and that is right. */
	allowRollback(): void {
		this.#goesBack = true;
	}

	/** The caller lets a guest run on without some of its pages. */
	allowLostPages(): void {
		this.#lostPages = true;
	}

	/** The guest grows where it runs. */
	grow(guest: SyntheticGuest, pageCount: number): void {
		guest.growMemory(pageCount);
		const grown = new Uint32Array(pageCount);
		grown.set(this.#oracle);
		this.#oracle = grown;
		this.#findings.note(`the guest has grown to ${pageCount} pages`);
	}

	/** At the end: this copy must be all that the guest has written. */
	compareWhole(guest: SyntheticGuest): void {
		guest.catchUp();
		if (guest.missing.count > 0) this.#findings.violation(`${guest.missing.count} pages are missing for ever`);
		this.#compare(guest, "at the end the memory differs from what the guest has written");
	}

	/** Looks at a copy from now on. */
	watch(guest: SyntheticGuest, host: Host): void {
		const name = `${host.name}'s copy ${host.copies.length + 1}`;
		const copy: Copy = { guest, host, name, atPause: undefined, installed: new Map() };
		host.copies.push(guest);
		this.#copies.push(copy);
		const { pause, resume, discard, touchWrite, missing } = guest;
		const { touched } = missing;
		const install = guest.faulting.install.bind(guest.faulting);
		Object.assign(guest, {
			pause: async () => {
				const wasRunning = guest.running;
				await pause.call(guest);
				if (!wasRunning) return;
				copy.atPause = guest.versions.slice();
				this.#findings.note(`${name} is paused`);
			},
			resume: async () => {
				const wasRunning = guest.running;
				const isAlive = host.status !== "crashed"; // what a crashed host's code still does in the same instant is nothing
				if (!wasRunning && isAlive) this.#activate(copy);
				await resume.call(guest);
				if (!wasRunning && isAlive) this.look();
			},
			discard: async () => {
				await discard.call(guest);
				this.#findings.note(`${name} is discarded`);
			},
			touchWrite: (page: number) => {
				touchWrite.call(guest, page);
				this.#oracle[page]!++;
				this.#touched(copy, page);
			},
		});
		Object.assign(missing, {
			touched: (page: number) => {
				this.#touched(copy, page);
				return touched.call(missing, page);
			},
		});
		Object.assign(guest.faulting, {
			install: async (...args: Parameters<typeof install>) => {
				const done = await install(...args);
				for (const page of done.pageIndices) this.#installed(copy, page);
				return done;
			},
		});
	}

	#installed({ installed, name }: Copy, page: number): void {
		const times = (installed.get(page) ?? 0) + 1;
		installed.set(page, times);
		if (times > 1) this.#findings.violation(`page ${page} was installed ${times} times in ${name}`);
	}

	#activate(copy: Copy): void {
		const { guest, name, atPause } = copy;
		this.#findings.note(`${name} runs`);
		if (this.#goesBack) {
			this.#goesBack = false;
			this.#oracle = guest.versions.slice();
		}
		if (atPause !== undefined && differs(guest.versions, atPause))
			this.#findings.violation(`${name} has changed while it was paused`);
		this.#compare(guest, `${name} was activated with other memory than the guest had at its pause`);
	}

	#touched({ guest, name }: Copy, page: number): void {
		if (guest.versions[page] === this.#oracle[page] || this.#lostPages) return;
		this.#findings.violation(
			`${name} touched page ${page} in version ${guest.versions[page]}, not ${this.#oracle[page]}`,
		);
	}

	#compare(guest: SyntheticGuest, message: string): void {
		if (this.#lostPages) return;
		const { versions, missing } = guest;
		if (versions.length !== this.#oracle.length) {
			this.#findings.violation(`${message}: ${versions.length} pages, not ${this.#oracle.length}`);
			return;
		}
		for (let page = 0; page < versions.length; page++)
			if (versions[page] !== this.#oracle[page] && !missing.has(page)) {
				this.#findings.violation(`${message}: page ${page} in version ${versions[page]}, not ${this.#oracle[page]}`);
				return;
			}
	}
}

const isRunner = ({ guest, host }: Copy): boolean => guest.running && host.status !== "crashed";

function differs(one: Uint32Array, other: Uint32Array): boolean {
	return one.length !== other.length || one.some((version, page) => version !== other[page]);
}
