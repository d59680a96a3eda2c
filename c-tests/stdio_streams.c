/* stdio on a socket: fdopen(3), fprintf(3), fgets(3), fclose(3). */
#include "check.h"

/* A number that was never a stream's: dprintf is one of its writers, in the order of the calls. */
static void by_number(void)
{
	int h, fd = connected(&h);
	FILE *stream;

	say("send: %s", result(send(fd, "a", 1, 0)));
	say("dprintf: %d", dprintf(fd, "%d %s %d %d %.1f %.2f %c %d%n", 1, "two", 3, 4, 5.5, 6.25, '7', 8, &(int){ 0 }));
	say("send: %s", result(send(fd, "b", 1, 0)));
	say("the peer hears: %s", peer_says("recv %d 26", h));
	peer("start recv %d 300000", h);
	say("dprintf: %d", dprintf(fd, "%0*d", 300000, 7));
	say("the peer hears: %s", peer_says("join %d", h));
	peer("shutdown %d 1", h);
	stream = fdopen(fd, "w");
	fputs("not flushed", stream);
	say("freopen: %d", freopen("/dev/null", "w", stream) == stream);
	say("the same number: %d", fileno(stream) == fd);
	say("the peer hears: %s", peer_says("drain %d", h));
	fputs("nothing", stream);
	say("fclose: %d", fclose(stream));
}

int main(void)
{
	int listener = listening(5000, 5), h = peer("connect 5000"), fd = accept(listener, NULL, NULL);
	FILE *in = fdopen(dup(fd), "r"), *out = fdopen(fd, "w");
	char line[200];
	unsigned char bytes[5000], expected[5000];
	int copy;

	say("fprintf: %d", fprintf(out, "%05d %s\n", 42, "lines"));
	say("fflush: %d", fflush(out));
	say("the peer hears: %s", peer_says("recv %d 12", h));
	fill(expected, sizeof expected, 0);
	fwrite(expected, 1, sizeof expected, out);
	fflush(out);
	say("the peer hears: %s", peer_says("recv %d 5000", h));
	peer("send %d 5000", h);
	say("fread: %zu", fread(bytes, 1, sizeof bytes, in));
	say("intact: %d", memcmp(bytes, expected, sizeof bytes) == 0);
	peer("shutdown %d 1", h);
	say("fgets at the end: %s", fgets(line, sizeof line, in) ? "a line" : "none");
	say("feof %d, ferror %d", !!feof(in), !!ferror(in));
	fputs("not flushed", out);
	copy = dup(fileno(out));
	say("fclose: %d", fclose(out));
	say("the peer hears: %s", peer_says("recv %d 11", h));
	say("fclose: %d", fclose(in));
	say("dprintf: %d", dprintf(copy, "%s", "by number"));
	say("the peer hears: %s", peer_says("recv %d 9", h));
	close(copy);
	say("the end: %s", peer_says("drain %d", h));
	by_number();
}
