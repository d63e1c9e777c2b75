// A rule of the house may be overruled at one place by a comment that gives the reason, on the line or right above it:
//   `// allowed (cast): v86 publishes no types for its CPU`

/** @returns whether the line (counted from 0), or the comment lines right above it, overrule the rule with a reason */
export function overruled(rule, lines, line) {
	const reason = new RegExp(`(//|\\*) allowed \\(${rule}\\): \\S`);
	for (let at = line; at >= 0; at--) {
		if (reason.test(lines[at])) return true;
		if (at < line && !/^\s*(\/\/|\/?\*)/.test(lines[at])) return false;
	}
	return false;
}
