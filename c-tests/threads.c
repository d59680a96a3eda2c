/* Several threads, each with a socket of its own, and several on one socket. */
#include "check.h"

#define THREADS 6
#define BYTES 2000000

static pthread_barrier_t barrier;
static int listener_port;

struct worker {
	int number, fd, h;
	uint64_t hash;
};

/* The peer's control connection belongs to the first thread; these only use their own sockets. */
static void *receive_and_send(void *argument)
{
	struct worker *w = argument;

	pthread_barrier_wait(&barrier);
	w->hash = hash_all(w->fd, BYTES);
	send_all(w->fd, BYTES);
	return NULL;
}

static void each_its_own(void)
{
	pthread_t threads[THREADS];
	struct worker workers[THREADS];

	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++) {
		workers[i].fd = connected(&workers[i].h);
		pthread_create(&threads[i], NULL, receive_and_send, &workers[i]);
	}
	for (int i = 0; i < THREADS; i++)
		peer("start send %d %d", workers[i].h, BYTES);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < THREADS; i++) {
		peer("join %d", workers[i].h);
		say("the peer hears: %s", peer_says("recv %d %d", workers[i].h, BYTES));
		pthread_join(threads[i], NULL);
		say("thread %d: %016llx", i, (unsigned long long)workers[i].hash);
		close(workers[i].fd);
		peer("close %d", workers[i].h);
	}
}

static void *only_send(void *argument)
{
	send_all(((struct worker *)argument)->fd, BYTES);
	return NULL;
}

static void *only_receive(void *argument)
{
	struct worker *w = argument;

	w->hash = hash_all(w->fd, BYTES);
	return NULL;
}

static void one_sends_one_receives(void)
{
	struct worker w;
	pthread_t sender, receiver;

	w.fd = connected(&w.h);
	pthread_create(&receiver, NULL, only_receive, &w);
	pthread_create(&sender, NULL, only_send, &w);
	peer("start send %d %d", w.h, BYTES);
	peer("join %d", w.h);
	say("the peer hears: %s", peer_says("recv %d %d", w.h, BYTES));
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	say("hash %016llx", (unsigned long long)w.hash);
	close(w.fd);
	peer("close %d", w.h);
}

static void *count_received(void *argument)
{
	static _Thread_local char b[5000];
	long total = 0, n;

	while ((n = recv(*(int *)argument, b, sizeof b, 0)) > 0)
		total += n;
	return (void *)total;
}

static void all_receive_from_one(void)
{
	int h, fd = connected(&h);
	pthread_t threads[THREADS];
	long total = 0;
	void *count;

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, count_received, &fd);
	peer("send %d %d", h, BYTES);
	peer("shutdown %d 1", h);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &count);
		total += (long)count;
	}
	say("received by all: %ld", total);
	close(fd);
	peer("close %d", h);
}

static void *accept_and_answer(void *argument)
{
	int fd = accept(*(int *)argument, NULL, NULL);

	if (fd < 0)
		return (void *)1;
	send_all(fd, 100);
	close(fd);
	return NULL;
}

static void all_accept(void)
{
	int listener = listening(0, 16);
	pthread_t threads[THREADS];
	void *failed;

	listener_port = port_of(listener);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, accept_and_answer, &listener);
	for (int i = 0; i < THREADS; i++) {
		int h = peer("connect %d", listener_port);

		say("answered: %s", peer_says("drain %d", h));
		peer("close %d", h);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		if (failed)
			say("an accept failed");
	}
	close(listener);
}

static void *dial_and_close(void *argument)
{
	for (int i = 0; i < 50; i++) {
		struct sockaddr_in a = address(PEER, 7000);
		int fd = tcp();

		if (connect(fd, SA(a), sizeof a))
			return (void *)1;
		close(fd);
	}
	(void)argument;
	return NULL;
}

static void all_connect(void)
{
	long listener = peer("listen 7000 1024");
	pthread_t threads[THREADS];
	void *failed;

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, dial_and_close, NULL);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		say("50 connections: %s", failed ? "failed" : "ok");
	}
	peer("close %ld", listener);
}

int main(void)
{
	each_its_own();
	one_sends_one_receives();
	all_receive_from_one();
	all_accept();
	all_connect();
}
