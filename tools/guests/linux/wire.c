/* One TCP connection that lives long.
 *   wire serve PORT          gives back what it is sent, for one connection after another
 *   wire dial IP PORT [MS]   sends 1, 2, 3 …, each once the one before has come back, one every MS milliseconds (10);
 *                            prints `wire N` for each, or `wire BROKEN at N` and ends */
#include "system.h"

enum { SOCKET = 1, BIND = 2, CONNECT = 3, LISTEN = 4, ACCEPT = 5, INTERNET = 2, STREAM = 1 };

static int socket_call(int call, u32 a, u32 b, u32 c) {
	u32 arguments[3] = {a, b, c};
	return system_call(SYS_SOCKETCALL, (u32)call, (u32)arguments, 0);
}

struct address {
	unsigned short family;
	u8 port[2];
	u8 host[4];
	u8 zero[8];
};

static struct address address_of(const char *host, u32 port) {
	struct address address = {.family = INTERNET, .port = {(u8)(port >> 8), (u8)port}};
	for (u32 i = 0; i < 4 && host != 0; i++) {
		address.host[i] = (u8)number_in(host);
		while (*host >= '0' && *host <= '9') host++;
		if (*host == '.') host++;
	}
	return address;
}

static int fail(const char *what, u32 number) {
	struct line line = {.length = 0};
	add(&line, what);
	add_number(&line, number);
	print(&line);
	return 1;
}

static int serve(u32 port) {
	struct address address = address_of(0, port);
	int listener = socket_call(SOCKET, INTERNET, STREAM, 0);
	int bound = socket_call(BIND, (u32)listener, (u32)&address, sizeof address);
	if (bound < 0 || socket_call(LISTEN, (u32)listener, 1, 0) < 0) return fail("wire: cannot listen: ", (u32)-bound);
	for (;;) {
		int peer = socket_call(ACCEPT, (u32)listener, 0, 0);
		char bytes[64];
		for (int got; (got = system_call(SYS_READ, (u32)peer, (u32)bytes, sizeof bytes)) > 0;)
			system_call(SYS_WRITE, (u32)peer, (u32)bytes, (u32)got);
		system_call(6 /* close */, (u32)peer, 0, 0);
	}
}

static int dial(const char *host, u32 port, u32 interval) {
	struct address address = address_of(host, port);
	int peer = socket_call(SOCKET, INTERNET, STREAM, 0);
	int connected = socket_call(CONNECT, (u32)peer, (u32)&address, sizeof address);
	if (connected < 0) return fail("wire: cannot connect: ", (u32)-connected);
	struct line line = {.length = 0};
	for (u32 n = 1;; n++) {
		u32 back = 0;
		if (system_call(SYS_WRITE, (u32)peer, (u32)&n, sizeof n) != sizeof n) return fail("wire BROKEN at ", n);
		for (u32 got = 0; got < sizeof back;) {
			int more = system_call(SYS_READ, (u32)peer, (u32)&back + got, sizeof back - got);
			if (more <= 0) return fail("wire BROKEN at ", n);
			got += (u32)more;
		}
		if (back != n) return fail("wire BROKEN at ", n);
		add(&line, "wire ");
		add_number(&line, n);
		print(&line);
		pause_ms(interval);
	}
}

static int run(int count, char **arguments) {
	if (count > 2 && arguments[1][0] == 's') return serve(number_in(arguments[2]));
	if (count > 3) return dial(arguments[2], number_in(arguments[3]), count > 4 ? number_in(arguments[4]) : 10);
	return fail("usage: wire serve PORT | wire dial IP PORT [MS]; words: ", (u32)count);
}
