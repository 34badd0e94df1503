/* Connections: how each begins, what is heard on it, and how it ends. One thread, one epoll set. */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include "histogram.h"
#include "wire.h"

#include <netinet/in.h>

enum state { FREE, CONNECTING, HEAD, SUBSCRIBING, OPEN, LEAVING };

struct reader {
    int fd;
    enum state state;
    bool stopped, churns;
    uint32_t symbol;
    uint64_t seq;
    struct wire wire;
};

struct all {
    int epoll;
    enum protocol protocol;
    struct sockaddr_in server;
    char **symbols;
    uint32_t symbol_count;
    struct reader *readers;
    uint32_t count, opening, open, stopped;
    bool churning;
    uint64_t now; /* of the bytes at hand, CLOCK_REALTIME in ns */
};

/* What is counted between a command and its answer. */
struct counts {
    uint64_t delivered, conflated, gaps, missing, others, faults, closed, bytes, reads, cycles;
    struct histogram latency;
};

extern struct all all;
extern struct counts counts;

uint64_t clock_ns(clockid_t which);
_Noreturn void die(const char *what);

/* Begins to connect; `churns`: it leaves after its first quote, and begins again. */
void start(struct reader *reader, uint32_t symbol, bool churns);

void end(struct reader *reader);

/* Takes it out of the epoll set, or puts it back. */
void hold(struct reader *reader, bool stops);

/* Reads whatever has come, waiting so long for it; true when a command waits on stdin. */
bool turn(int timeout_ms);

#endif
