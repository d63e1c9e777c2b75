// TypeScript's own parser, for checks that must tell code from prose. It reads AssemblyScript well enough.
import ts from "typescript";

/** @returns the file's syntax tree, parents set */
export const parse = (path, text) => ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);

/** @returns the code with comments, strings, templates and regular expressions blanked, line for line */
export function codeOnly(file) {
	const out = file.text.replace(/[^\n]/g, " ").split("");
	const visit = (node) => {
		if (node.kind >= ts.SyntaxKind.FirstJSDocNode && node.kind <= ts.SyntaxKind.LastJSDocNode) return;
		const children = node.getChildren(file);
		for (const child of children) visit(child);
		const isText = node.kind >= ts.SyntaxKind.FirstLiteralToken && node.kind <= ts.SyntaxKind.LastTemplateToken;
		if (children.length > 0 || (isText && node.kind !== ts.SyntaxKind.NumericLiteral)) return;
		for (let at = node.getStart(file); at < node.getEnd(); at++) out[at] = file.text[at];
	};
	visit(file);
	return out.join("");
}
