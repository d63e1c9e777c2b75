// The paper's bubbling with the sweep, written for reading: findings' rule with a plain array as the ring (head first).

interface Edge {
	position: number;
	readonly step: -1 | 1;
	readonly pivot: number;
}

/** The order in which positions 0 … count − 1 are handed out; all owed. */
export class NaiveBubbling {
	readonly sent = new Set<number>();
	readonly #count: number;
	readonly #pivots: number;
	readonly #steps: readonly (-1 | 1)[];
	#ring: Edge[] = [];
	#made = 0;

	constructor(count: number, pivots: number, direction: "dual" | "forward" | "backward") {
		this.#count = count;
		this.#pivots = pivots;
		this.#steps = direction === "dual" ? [-1, 1] : direction === "forward" ? [1] : [-1];
		this.#pivot(direction === "backward" ? count : -1);
	}

	#pivot(at: number): void {
		const oldest = this.#made - this.#pivots;
		this.#ring = this.#ring.filter((edge) => edge.pivot !== oldest);
		for (const step of this.#steps) {
			const position = at + step;
			if (position >= 0 && position < this.#count) this.#ring.push({ position, step, pivot: this.#made });
		}
		this.#made++;
	}

	fault(position: number): "send" | "in-flight" {
		if (this.sent.has(position)) return "in-flight";
		this.sent.add(position);
		this.#pivot(position);
		return "send";
	}

	/** @returns the next position, or undefined when nothing is left */
	push(sweep: boolean): number | undefined {
		for (let edge = this.#ring.shift(); edge !== undefined; edge = this.#ring.shift()) {
			const { position } = edge;
			if (position < 0 || position >= this.#count || this.sent.has(position)) continue;
			this.sent.add(position);
			edge.position += edge.step;
			this.#ring.push(edge);
			return position;
		}
		if (!sweep) return undefined;
		for (let position = 0; position < this.#count; position++) {
			if (this.sent.has(position)) continue;
			this.sent.add(position);
			return position;
		}
		return undefined;
	}
}
