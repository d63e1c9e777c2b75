/* counter [MS]: prints `count N` for N = 1, 2, 3 …, one every MS milliseconds (10). A gap or a repetition means that the
 * machine was copied wrongly. */
#include "system.h"

static int run(int count, char **arguments) {
	u32 interval = count > 1 ? number_in(arguments[1]) : 10;
	struct line line = {.length = 0};
	for (u32 n = 1;; n++) {
		add(&line, "count ");
		add_number(&line, n);
		print(&line);
		pause_ms(interval);
	}
}
