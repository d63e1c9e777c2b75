// Looking into answers of QEMU: JSON of a program that is not ours, so nothing about its shape is taken for granted.

/** @returns a member of an object; `undefined` if it has none of that name, or is no object. */
export function member(value: unknown, name: string): unknown {
	if (typeof value !== "object" || value === null) return undefined;
	return Object.entries(value).find(([key]) => key === name)?.[1];
}

/** @returns a member that is text */
export function textMember(value: unknown, name: string): string | undefined {
	const found = member(value, name);
	return typeof found === "string" ? found : undefined;
}

/** @returns a member that is a number */
export function numberMember(value: unknown, name: string): number | undefined {
	const found = member(value, name);
	return typeof found === "number" ? found : undefined;
}

/** @returns whether it is an object with a member of that name, `null` included */
export function hasMember(value: unknown, name: string): boolean {
	return typeof value === "object" && value !== null && Object.hasOwn(value, name);
}
