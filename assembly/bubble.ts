// Multi-pivot bubbling: in which order the pages still owed are pushed (Post-Copy Live Migration of Virtual Machines, "Bubbling
// with multiple pivots"; docs/lab.md compares its orders with the paper's figures).
//
//   missing   one bit per *position*: 1 = owed and not yet handed out. Positions enumerate only owed pages, densely.
//   order     position → page; inverse: page → position or NONE
//   ring      live edges in rotation; a push takes the edge at the head: if it is out of range or its position is gone it is
//             unlinked (it met a page already sent), else that position is handed out and the edge steps on
//   pivots    a FIFO of at most k slots; a fault takes the next slot and unlinks what is left of the oldest pivot's edges, live
//             or not: evicting dead pivots first costs 1.28 times the faults
//   sweep     when the ring is empty, a cursor hands out what is missing in ascending order. The paper has no such cursor and
//             stalls: N = 20, k = 1, fault 10, push 9 and 11, fault 5: then 12…19 are never reached.
//
// Invariants: testing and clearing a missing bit is the only way out, so a position is handed out at most once; the sweep
// cursor never stands beyond a missing position, so with the sweep every position comes out and no push is empty before the
// last. Whole cost: at most 2 N + 2 faults + 4 steps.
//
// Two push orders. *Edges* (the paper's): the ring turns over edges. *Turns*: the ring turns over pivots; a pivot learns a
// direction when the guest is seen moving (a fault on a page in flight at most 16 positions behind an edge; a fault at most 16
// past an edge hands the direction to the new pivot), and then 16 of its 17 pushes go that way.
//
// State: a header of u32 at 0…127, then the ring, 16 bytes per entry:
//   edges  position u32 | step i32 | slot u32 | –          (2 k entries)
//   turns  left u32 | right u32 | slot u32 | flags u32      (k entries)
import { bitmapFill, bitmapSet } from "./bitmap";
import { bitmapHarvest } from "./bitmap-list";

// @ts-ignore: decorator
@inline const COUNT: usize = 0; // positions
// @ts-ignore: decorator
@inline const PIVOTS: usize = 4; // k
// @ts-ignore: decorator
@inline const DIRECTIONS: usize = 8; // bit 0: towards 0, bit 1: towards the end
// @ts-ignore: decorator
@inline const OPTIONS: usize = 12; // bit 0: sweep, bit 1: turns
// @ts-ignore: decorator
@inline const CURSOR: usize = 16; // sweep cursor: nothing below it is missing
// @ts-ignore: decorator
@inline const REMAINING: usize = 20; // missing positions
// @ts-ignore: decorator
@inline const LENGTH: usize = 24; // ring entries
// @ts-ignore: decorator
@inline const HEAD: usize = 28; // ring index of the next push
// @ts-ignore: decorator
@inline const NEXT_SLOT: usize = 32; // slot the next pivot takes
// @ts-ignore: decorator
@inline const SWEPT: usize = 36; // positions handed out by the sweep
// @ts-ignore: decorator
@inline const MISSING: usize = 40; // bitmap over positions
// @ts-ignore: decorator
@inline const BLOCKS: usize = 44;
// @ts-ignore: decorator
@inline const ORDER: usize = 48; // u32 per position
// @ts-ignore: decorator
@inline const INVERSE: usize = 52; // u32 per page
// @ts-ignore: decorator
@inline const PAGES: usize = 56; // pages the inverse covers
// @ts-ignore: decorator
@inline const RING: usize = 128;

const NONE: u32 = 0xffffffff;
const LEFT: u32 = 1;
const RIGHT: u32 = 2;
const SWEEP: u32 = 1;
const TURNS: u32 = 2;

// Flags of a turning pivot: live edges in bits 0 and 1 (LEFT, RIGHT), learnt direction in bits 2 and 3, whose turn in bits 8…15.
const LEARNT: u32 = 2; // shift
const LEARNT_MASK: u32 = 12;
const TURN: u32 = 8; // shift
/** A pivot with a direction pushes 16 that way, then one the other way. */
const TURNS_AHEAD: u32 = 16;
/** How near to an edge a fault tells a direction. */
const NEAR: u32 = 16;

/**
 * Fills the inverse of an order.
 *
 * @returns NONE if all is well, else the position whose page is outside `pages` or comes twice
 */
export function bubbleInvert(order: usize, count: u32, inverse: usize, pages: u32): u32 {
  memory.fill(inverse, 0xff, (<usize>pages) << 2);
  for (let position: u32 = 0; position < count; ++position) {
    const page = load<u32>(order + ((<usize>position) << 2));
    if (page >= pages) return position;
    const at = inverse + ((<usize>page) << 2);
    if (load<u32>(at) != NONE) return position;
    store<u32>(at, position);
  }
  return NONE;
}

/** Starts: every position missing, a first pivot just before position 0 (backward only: just behind the last one). */
export function bubbleStart(
  state: usize, count: u32, pages: u32, pivots: u32, directions: u32, options: u32,
  missing: usize, blocks: u32, order: usize, inverse: usize,
): void {
  memory.fill(state, 0, RING + ((<usize>pivots) << 5));
  store<u32>(state, count, COUNT);
  store<u32>(state, pivots, PIVOTS);
  store<u32>(state, directions, DIRECTIONS);
  store<u32>(state, options, OPTIONS);
  store<u32>(state, count, REMAINING);
  store<u32>(state, missing, MISSING);
  store<u32>(state, blocks, BLOCKS);
  store<u32>(state, order, ORDER);
  store<u32>(state, inverse, INVERSE);
  store<u32>(state, pages, PAGES);
  bitmapFill(missing, blocks, 0, count, 1);
  addPivot(state, directions == LEFT ? count : NONE, 0);
}

/** Tests and clears a position. @returns whether it was missing */
// @ts-ignore: decorator
@inline function take(missing: usize, position: u32): bool {
  const at = missing + ((<usize>(position >> 6)) << 3);
  const word = load<u64>(at);
  const bit = (<u64>1) << (<u64>position & 63);
  store<u64>(at, word & ~bit);
  return (word & bit) != 0;
}

// @ts-ignore: decorator
@inline function entryAt(state: usize, index: u32): usize {
  return state + RING + ((<usize>index) << 4);
}

function unlink(state: usize, index: u32): void {
  const length = load<u32>(state, LENGTH) - 1;
  const head = load<u32>(state, HEAD);
  const at = entryAt(state, index);
  memory.copy(at, at + 16, (<usize>(length - index)) << 4);
  store<u32>(state, length, LENGTH);
  if (index < head) store<u32>(state, head - 1, HEAD);
}

/** Links at the tail: right before the head, so that it is reached last. @returns the new entry */
function link(state: usize): usize {
  const length = load<u32>(state, LENGTH);
  const head = min(load<u32>(state, HEAD), length);
  const at = entryAt(state, head);
  memory.copy(at + 16, at, (<usize>(length - head)) << 4);
  store<u32>(state, length + 1, LENGTH);
  store<u32>(state, head + 1, HEAD);
  return at;
}

function linkEdge(state: usize, position: u32, step: i32, slot: u32): void {
  const at = link(state);
  store<u32>(at, position);
  store<i32>(at, step, 4);
  store<u32>(at, slot, 8);
}

/** Makes a pivot at `position` (NONE: before the first), taking the oldest slot. `learnt`: its direction, 0 for none. */
function addPivot(state: usize, position: u32, learnt: u32): void {
  const slot = load<u32>(state, NEXT_SLOT);
  store<u32>(state, slot + 1 < load<u32>(state, PIVOTS) ? slot + 1 : 0, NEXT_SLOT);
  for (let i = load<u32>(state, LENGTH); i > 0; --i) if (load<u32>(entryAt(state, i - 1), 8) == slot) unlink(state, i - 1);
  const directions = load<u32>(state, DIRECTIONS);
  const count = load<u32>(state, COUNT);
  const left = position - 1, right = position + 1; // both wrap to "out of range"
  let live: u32 = 0;
  if ((directions & LEFT) != 0 && position != NONE && left < count) live |= LEFT;
  if ((directions & RIGHT) != 0 && right < count) live |= RIGHT;
  if ((load<u32>(state, OPTIONS) & TURNS) != 0) {
    if (live == 0) return;
    const at = link(state);
    store<u32>(at, left);
    store<u32>(at, right, 4);
    store<u32>(at, slot, 8);
    store<u32>(at, live | (learnt << LEARNT), 12);
    return;
  }
  if ((live & LEFT) != 0) linkEdge(state, left, -1, slot);
  if ((live & RIGHT) != 0) linkEdge(state, right, 1, slot);
}

/** Turns: direction of a pivot's live edge that has passed `position` at most NEAR ago; that pivot learns it. */
function learn(state: usize, position: u32): void {
  const length = load<u32>(state, LENGTH);
  for (let i: u32 = 0; i < length; ++i) {
    const at = entryAt(state, i);
    const flags = load<u32>(at, 12);
    let direction: u32 = 0;
    if ((flags & RIGHT) != 0 && load<u32>(at, 4) - position - 1 < NEAR) direction = RIGHT;
    else if ((flags & LEFT) != 0 && position - load<u32>(at) - 1 < NEAR) direction = LEFT;
    // A changed direction starts its 16 turns anew.
    if (direction != 0 && direction != (flags & LEARNT_MASK) >> LEARNT)
      store<u32>(at, (flags & (LEFT | RIGHT)) | (direction << LEARNT), 12);
  }
}

/** Turns: direction of the live edge that `position` lies at most NEAR ahead of; 0 for none. */
function inherited(state: usize, position: u32): u32 {
  const length = load<u32>(state, LENGTH);
  for (let i: u32 = 0; i < length; ++i) {
    const at = entryAt(state, i);
    const flags = load<u32>(at, 12);
    if ((flags & RIGHT) != 0 && position - load<u32>(at, 4) < NEAR) return RIGHT;
    if ((flags & LEFT) != 0 && load<u32>(at) - position < NEAR) return LEFT;
  }
  return 0;
}

/**
 * A fault on a page.
 *
 * @returns 0: hand it out now, ahead of pushes; 1: it was handed out before (in flight); 2: it is not owed
 */
export function bubbleFault(state: usize, page: u32): u32 {
  if (page >= load<u32>(state, PAGES)) return 2;
  const position = load<u32>(load<u32>(state, INVERSE) + ((<usize>page) << 2));
  if (position == NONE) return 2;
  const turns = (load<u32>(state, OPTIONS) & TURNS) != 0;
  if (!take(load<u32>(state, MISSING), position)) {
    if (turns) learn(state, position);
    return 1;
  }
  store<u32>(state, load<u32>(state, REMAINING) - 1, REMAINING);
  addPivot(state, position, turns ? inherited(state, position) : 0);
  return 0;
}

/** Rotates over edges. @returns positions handed out, mapped to pages */
function pushEdges(state: usize, out: usize, capacity: u32): u32 {
  const count = load<u32>(state, COUNT);
  const missing: usize = load<u32>(state, MISSING);
  const order: usize = load<u32>(state, ORDER);
  let head = load<u32>(state, HEAD);
  let length = load<u32>(state, LENGTH);
  let n: u32 = 0;
  while (n < capacity && length != 0) {
    if (head >= length) head = 0;
    const at = entryAt(state, head);
    const position = load<u32>(at);
    if (position < count && take(missing, position)) {
      store<u32>(out, load<u32>(order + ((<usize>position) << 2)));
      store<u32>(at, position + load<u32>(at, 4));
      out += 4;
      ++n;
      ++head;
    } else {
      store<u32>(state, head, HEAD);
      unlink(state, head);
      --length;
    }
  }
  store<u32>(state, head, HEAD);
  return n;
}

/** Which edge a turning pivot pushes now: the live one, or by its direction, or the two in turn. */
// @ts-ignore: decorator
@inline function sideOf(flags: u32): u32 {
  const live = flags & (LEFT | RIGHT);
  if (live != (LEFT | RIGHT)) return live;
  const turn = (flags >> TURN) & 255;
  const learnt = (flags & LEARNT_MASK) >> LEARNT;
  if (learnt == 0) return (turn & 1) != 0 ? RIGHT : LEFT;
  return turn < TURNS_AHEAD ? learnt : (LEFT | RIGHT) ^ learnt;
}

/** The flags after a push. */
// @ts-ignore: decorator
@inline function nextTurn(flags: u32): u32 {
  const turn = (flags >> TURN) & 255;
  const next: u32 = (flags & LEARNT_MASK) == 0 ? turn ^ 1 : turn < TURNS_AHEAD ? turn + 1 : 0;
  return (flags & 255) | (next << TURN);
}

/** Rotates over pivots. @returns positions handed out, mapped to pages */
function pushTurns(state: usize, out: usize, capacity: u32): u32 {
  const count = load<u32>(state, COUNT);
  const missing: usize = load<u32>(state, MISSING);
  const order: usize = load<u32>(state, ORDER);
  let head = load<u32>(state, HEAD);
  let length = load<u32>(state, LENGTH);
  let n: u32 = 0;
  while (n < capacity && length != 0) {
    if (head >= length) head = 0;
    const at = entryAt(state, head);
    const flags = load<u32>(at, 12);
    const side = sideOf(flags);
    const edge: usize = side == LEFT ? at : at + 4;
    const position = load<u32>(edge);
    if (position < count && take(missing, position)) {
      store<u32>(out, load<u32>(order + ((<usize>position) << 2)));
      store<u32>(edge, side == LEFT ? position - 1 : position + 1);
      store<u32>(at, nextTurn(flags), 12);
      out += 4;
      ++n;
      ++head;
    } else if ((flags & (LEFT | RIGHT)) != side) {
      store<u32>(at, flags & ~side, 12); // the other edge goes on, in this same turn
    } else {
      store<u32>(state, head, HEAD);
      unlink(state, head);
      --length;
    }
  }
  store<u32>(state, head, HEAD);
  return n;
}

/**
 * Hands out up to `capacity` pages in push order.
 *
 * @param out u32 page indices, with 16 bytes of slack
 * @returns pages handed out; fewer than `capacity` only when nothing is left (or, without the sweep, when it stalls)
 */
export function bubblePush(state: usize, out: usize, capacity: u32): u32 {
  const options = load<u32>(state, OPTIONS);
  let n = (options & TURNS) != 0 ? pushTurns(state, out, capacity) : pushEdges(state, out, capacity);
  if (n < capacity && (options & SWEEP) != 0) {
    let at = out + ((<usize>n) << 2);
    const swept = bitmapHarvest(
      load<u32>(state, MISSING), load<u32>(state, BLOCKS), state + CURSOR, load<u32>(state, COUNT), at, capacity - n,
    );
    const order: usize = load<u32>(state, ORDER);
    for (const end = at + ((<usize>swept) << 2); at < end; at += 4)
      store<u32>(at, load<u32>(order + ((<usize>load<u32>(at)) << 2)));
    store<u32>(state, load<u32>(state, SWEPT) + swept, SWEPT);
    n += swept;
  }
  store<u32>(state, load<u32>(state, REMAINING) - n, REMAINING);
  return n;
}

/**
 * Owes a page again that was handed out but, after a lost link, never acknowledged. The sweep, moved back, will find it.
 *
 * @returns 1 if it was handed out before, 0 if it was missing anyway or is not owed
 */
export function bubblePutBack(state: usize, page: u32): u32 {
  if (page >= load<u32>(state, PAGES)) return 0;
  const position = load<u32>(load<u32>(state, INVERSE) + ((<usize>page) << 2));
  if (position == NONE) return 0;
  if (bitmapSet(load<u32>(state, MISSING), load<u32>(state, BLOCKS), position) == 0) return 0;
  store<u32>(state, load<u32>(state, REMAINING) + 1, REMAINING);
  if (position < load<u32>(state, CURSOR)) store<u32>(state, position, CURSOR);
  return 1;
}
