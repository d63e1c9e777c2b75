/**
 * What becomes of a restored guest's clock and of its random numbers: asked for at every restore, compared with what the
 * guest says of itself (the facts `clock` and `random` of its layout), and never taken for granted.
 *
 *   guest's fact       asked for        outcome
 *   ─────────────────  ───────────────  ──────────────────────────────────────────────────────────────────────────
 *   clock none         any              `unaffected`
 *   clock host         jump             `by-itself`           continue: refused, the host's clock has gone on
 *   clock carried      continue         `by-itself`, or told  jump: told, or refused where nothing listens
 *   random none        any              `unaffected`
 *   random host        reseed           `by-itself`           keep: refused, nobody has the host's numbers
 *   random seeded      keep             `by-itself`           reseed: told, or refused where nothing listens
 *   not stated         any              told where it listens, else `left-to-caller`
 */
import type { GuestLayout } from "../ports/guest.ts";
import type { ClockPolicy, RandomPolicy } from "../ports/told-guest.ts";
import { RestoreError } from "./restore-error.ts";

/** What is asked for. */
export interface RestorePolicy {
	readonly clock: ClockPolicy;
	readonly random: RandomPolicy;
}

/**
 * `unaffected`: the guest has none. `by-itself`: it behaves so without being told. `told`: it was told, before it ran.
 * `left-to-caller`: the guest says nothing of its own and nothing in it listens; the caller's `onRestored` is the place.
 */
export type PolicyOutcome = "unaffected" | "by-itself" | "told" | "left-to-caller";

/** How the policy is kept. */
export interface PolicyReport extends RestorePolicy {
	readonly clockOutcome: PolicyOutcome;
	readonly randomOutcome: PolicyOutcome;
}

/**
 * Before anything is set up: whether this can be kept at all.
 * @throws {RestoreError} `policy`.
 */
export function checkPolicy(layout: GuestLayout, policy: RestorePolicy): void {
	requireOneOf("clock", policy.clock, ["continue", "jump"]);
	requireOneOf("random", policy.random, ["keep", "reseed"]);
	if (layout.facts.clock === "host" && policy.clock === "continue")
		throw new RestoreError("policy", "the guest reads the host's clock, which has gone on: restore with clock 'jump'");
	if (layout.facts.random === "host" && policy.random === "keep")
		throw new RestoreError("policy", "the guest takes its random numbers from the host: restore with random 'reseed'");
}

/**
 * When the guest has been told, or could not be.
 * @throws {RestoreError} `policy` where it would go wrong silently.
 */
export function judgePolicy(layout: GuestLayout, policy: RestorePolicy, told: boolean): PolicyReport {
	return {
		...policy,
		clockOutcome: judge(layout.facts.clock, "carried", policy.clock === "jump", told, "its clock carries on by itself"),
		randomOutcome: judge(
			layout.facts.random,
			"seeded",
			policy.random === "reseed",
			told,
			"its generator lies in its memory, and every copy would draw the same numbers",
		),
	};
}

/** @param own - the fact of a guest that keeps this in its own state. @param changes - whether it must be told to change it. */
function judge(fact: string | undefined, own: string, changes: boolean, told: boolean, why: string): PolicyOutcome {
	if (fact === "none") return "unaffected";
	if (fact === "host") return "by-itself";
	if (told) return "told";
	if (fact !== own) return "left-to-caller";
	if (!changes) return "by-itself";
	throw new RestoreError(
		"policy",
		`${why}: give its program a 'restored' hook, or restore with clock 'continue', random 'keep'`,
	);
}

function requireOneOf(name: string, value: string, allowed: readonly string[]): void {
	if (!allowed.includes(value)) throw new TypeError(`${name}: one of ${allowed.join(", ")} must be said, got ${value}`);
}
