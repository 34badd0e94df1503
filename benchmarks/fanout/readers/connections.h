/* Connections: handshake, messages, close. One thread, one epoll set. */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include "histogram.h"
#include "wire.h"

#include <netinet/in.h>

#ifdef WITH_TLS
#include <openssl/ssl.h>
#else
typedef void SSL;
typedef void SSL_CTX;
#endif

enum state { FREE, CONNECTING, SHAKING, HEAD, SUBSCRIBING, OPEN, LEAVING };

struct reader {
    int fd;
    enum state state;
    bool stopped, churns;
    uint32_t symbol;
    uint64_t seq;
    SSL *tls; /* NULL without TLS */
    struct wire wire;
};

struct all {
    int epoll;
    enum protocol protocol;
    SSL_CTX *tls; /* NULL without TLS; the server's certificate is not verified */
    struct sockaddr_in server, source; /* source 0.0.0.0: the kernel chooses */
    char **symbols;
    uint32_t symbol_count;
    struct reader *readers;
    uint32_t count, opening, open, stopped;
    bool churning;
    uint64_t now; /* arrival of the current bytes, CLOCK_REALTIME in ns */
};

/* Counters between a command and its answer. */
struct counts {
    uint64_t delivered, conflated, gaps, missing, others, faults, closed, bytes, reads, cycles;
    struct histogram latency;
};

extern struct all all;
extern struct counts counts;

uint64_t clock_ns(clockid_t which);
_Noreturn void die(const char *what);

/* Starts to connect. `churns`: disconnect after the first quote, and connect again. */
void start(struct reader *reader, uint32_t symbol, bool churns);

void end(struct reader *reader);

/* Removes it from the epoll set, or adds it again. */
void hold(struct reader *reader, bool stops);

/* Waits for data and reads it; returns true when stdin has a command. */
bool turn(int timeout_ms);

#endif
