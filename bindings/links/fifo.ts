/** A first-in, first-out queue. Taking is O(1) on average: the head moves, and the array is cut when half of it is spent. */
export class Fifo<Item> {
	#items: (Item | undefined)[] = [];
	#head = 0;

	get length(): number {
		return this.#items.length - this.#head;
	}

	push(item: Item): void {
		this.#items.push(item);
	}

	/** The next item, left where it is. */
	peek(): Item | undefined {
		return this.#items[this.#head];
	}

	take(): Item | undefined {
		if (this.length === 0) return undefined;
		const item = this.#items[this.#head];
		this.#items[this.#head++] = undefined;
		if (this.#head * 2 > this.#items.length) {
			this.#items = this.#items.slice(this.#head);
			this.#head = 0;
		}
		return item;
	}

	/** Takes everything. */
	drain(): Item[] {
		const items: Item[] = [];
		for (let item = this.take(); item !== undefined; item = this.take()) items.push(item);
		return items;
	}
}
