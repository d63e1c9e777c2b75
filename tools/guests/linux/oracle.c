/* oracle MIB [ROUNDS]: increments one byte in every page of MIB megabytes, in order, for ever. Before it increments a byte it
 * knows what must be there: pages before it have this round's value, pages behind it the last one's. A page that a move lost,
 * mixed up or took at another time is found in the next round. Prints `oracle R ok` every ROUNDS rounds (1), or
 * `oracle BAD page P is X not Y` and ends.
 * (QEMU's own migration tests check the same from outside; inside Linux only the program knows its pages.) */
#include "system.h"

enum { PAGE = 4096, READ_WRITE = 3, PRIVATE_ANONYMOUS = 0x22 };

static int run(int count, char **arguments) {
	u32 pages = (count > 1 ? number_in(arguments[1]) : 8) * 256;
	u32 every = count > 2 ? number_in(arguments[2]) : 1;
	u32 wanted[6] = {0, pages * PAGE, READ_WRITE, PRIVATE_ANONYMOUS, (u32)-1, 0};
	volatile u8 *memory = (volatile u8 *)system_call(SYS_MMAP, (u32)wanted, 0, 0);
	struct line line = {.length = 0};
	if ((u32)memory > 0xfffff000u) {
		add(&line, "oracle: no memory");
		print(&line);
		return 1;
	}
	for (u32 round = 0;; round++) {
		for (u32 page = 0; page < pages; page++) {
			volatile u8 *byte = memory + page * PAGE + page % PAGE; /* another place in each page */
			if (*byte != (u8)round) {
				add(&line, "oracle BAD page ");
				add_number(&line, page);
				add(&line, " is ");
				add_number(&line, *byte);
				add(&line, " not ");
				add_number(&line, (u8)round);
				print(&line);
				return 1;
			}
			*byte = (u8)(round + 1);
		}
		if ((round + 1) % every == 0) {
			add(&line, "oracle ");
			add_number(&line, round + 1);
			add(&line, " ok");
			print(&line);
		}
	}
}
