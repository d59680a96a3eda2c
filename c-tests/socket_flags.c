/* A socket as a descriptor: flags at creation, fstat, what files can do and sockets cannot. */
#include "check.h"

static void flags(const char *what, int type)
{
	int fd = socket(AF_INET, type, 0);

	say("%s: F_GETFL %#x, F_GETFD %d", what, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
	close(fd);
}

int main(void)
{
	struct stat status;
	int fd, on = 1, off = 0;
	char b[8] = "";
	struct iovec v = { b, 1 };

	flags("stream", SOCK_STREAM);
	flags("stream nonblocking", SOCK_STREAM | SOCK_NONBLOCK);
	flags("stream close-on-exec", SOCK_STREAM | SOCK_CLOEXEC);
	flags("dgram", SOCK_DGRAM);
	flags("dgram both", SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
	fd = tcp();
	say("F_SETFL: %s", ok(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND)));
	say("F_GETFL: %#x", fcntl(fd, F_GETFL));
	say("FIONBIO off: %s", ok(ioctl(fd, FIONBIO, &off)));
	say("F_GETFL: %#x", fcntl(fd, F_GETFL));
	say("FIONBIO on: %s", ok(ioctl(fd, FIONBIO, &on)));
	say("F_GETFL: %#x", fcntl(fd, F_GETFL));
	say("FIOCLEX: %s", ok(ioctl(fd, FIOCLEX)));
	say("F_GETFD: %d", fcntl(fd, F_GETFD));
	say("FIONCLEX: %s", ok(ioctl(fd, FIONCLEX)));
	say("F_GETFD: %d", fcntl(fd, F_GETFD));
	say("fstat: %s", ok(fstat(fd, &status)));
	say("mode %o, size %lld, links %lu", status.st_mode, (long long)status.st_size, (unsigned long)status.st_nlink);
	say("lseek: %s", ok(lseek(fd, 0, SEEK_SET)));
	say("pread: %s", ok(pread(fd, b, 1, 0)));
	say("pwrite: %s", ok(pwrite(fd, b, 1, 0)));
	say("preadv: %s", ok(preadv(fd, &v, 1, 0)));
	say("ftruncate: %s", ok(ftruncate(fd, 0)));
	say("fsync: %s", ok(fsync(fd)));
	say("isatty: %s", isatty(fd) ? "yes" : name_of(errno));
	say("unknown ioctl: %s", ok(ioctl(fd, 0x12345678, b)));
	say("SO_TYPE %d, SO_DOMAIN %d, SO_PROTOCOL %d, SO_ACCEPTCONN %d", get_int(fd, SOL_SOCKET, SO_TYPE),
	    get_int(fd, SOL_SOCKET, SO_DOMAIN), get_int(fd, SOL_SOCKET, SO_PROTOCOL),
	    get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
	close(fd);
	say("closed again: %s", ok(close(fd)));
}
