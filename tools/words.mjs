// Text that belongs to one machine and not to the project: it breaks for everybody else.
import { projectFiles, textOf } from "./sources.mjs";

const WORDS = [
	// A lock that names a registry installs only where that registry answers.
	{
		pattern: /"resolved":\s*"/,
		only: /(^|\/)package-lock\.json$/,
		instead: "a lock without `resolved`: `npm config set omit-lockfile-registry-resolved true`",
	},
	{
		pattern:
			/\bregistry\.(npmjs|yarnpkg|npmmirror)\.|\b(artifactory|verdaccio|pypi\.org\/simple|jsr-registry)\b|^\s*registry\s*=/im,
		instead: "nothing: the registry is the user's own setting",
	},
	{
		pattern: /(?<![\w.~/@-])\/(work|root|home\/\w+|Users\/\w+|builds|workspace)\/\w/,
		instead: "a path relative to the repository",
	},
	{ pattern: /\bfile:\/\/\/(?!\$)\w/, instead: "`new URL(…, import.meta.url)`" },
];

// Names that say nothing about what a file holds (house style: a folder is a subject, a file is a noun).
const EMPTY_NAMES = /(^|\/)(utils?|helpers?|managers?|commons?|misc|shared)(\.|\/|-|$)/;

/** @returns one line per violation */
export function words() {
	const violations = [];
	for (const path of projectFiles()) {
		if (EMPTY_NAMES.test(path)) violations.push(`${path}: the name says nothing\n    instead: the subject, as a noun`);
		const text = path === "tools/words.mjs" ? undefined : textOf(path);
		if (text === undefined) continue;
		for (const { pattern, only, instead } of WORDS) {
			if (only !== undefined && !only.test(path)) continue;
			const index = text.split("\n").findIndex((line) => pattern.test(line));
			if (index >= 0)
				violations.push(
					`${path}:${index + 1}: ${text.split("\n")[index].trim().slice(0, 100)}\n    instead: ${instead}`,
				);
		}
	}
	return violations;
}
