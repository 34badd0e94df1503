/* Readers of quotes that cost less than any server: one thread, epoll, and one count per message.
 *
 *   readers PORT websocket|nats[+tls] CONNECTIONS SYMBOL,SYMBOL,... [SOURCE]
 *
 * SOURCE is the address to connect from: each has only so many ephemeral ports.
 * Connection i subscribes to symbol i modulo the number of symbols. When all are open, the program prints
 * `open N`. Then each line on stdin is a command, answered by one line of JSON:
 *
 *   measure SECONDS        count what arrives in that time
 *   count                  report what has arrived since the last answer
 *   stop COUNT             the first COUNT readers stop reading (0: all read again)
 *   churn AT_ONCE SECONDS  connect, read one quote, close with a close frame, repeat
 *
 * The program ends at the end of stdin.
 */
#define _GNU_SOURCE
#include "connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { OPENING_AT_ONCE = 1024, PATIENCE = 90 };

static void open_all(void)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + PATIENCE * 1000000000ull;
    uint32_t begun = 0;
    while (all.open < all.count) {
        while (begun < all.count && all.opening < OPENING_AT_ONCE) {
            start(&all.readers[begun], begun % all.symbol_count, false);
            begun++;
        }
        turn(100);
        errno = 0;
        if (counts.closed || counts.faults)
            die("a connection was refused");
        if (clock_ns(CLOCK_MONOTONIC) > until)
            die("the connections do not open");
    }
    printf("open %u\n", all.open);
}

static void report(double seconds, double cpu)
{
    printf("{\"seconds\":%.6f,\"cpu\":%.6f,\"open\":%u,\"reading\":%u,\"delivered\":%lu,"
           "\"conflated\":%lu,\"gaps\":%lu,\"missing\":%lu,\"others\":%lu,\"faults\":%lu,"
           "\"closed\":%lu,\"bytes\":%lu,\"reads\":%lu,\"cycles\":%lu",
           seconds, cpu, all.open, all.open - all.stopped, counts.delivered, counts.conflated,
           counts.gaps, counts.missing, counts.others, counts.faults, counts.closed, counts.bytes,
           counts.reads, counts.cycles);
    if (counts.latency.total > 0)
        printf(",\"latency_us\":{\"p50\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f,\"most\":%.1f}",
               histogram_at(&counts.latency, 0.5) / 1e3, histogram_at(&counts.latency, 0.99) / 1e3,
               histogram_at(&counts.latency, 0.999) / 1e3, (double)counts.latency.most / 1e3);
    printf("}\n");
    memset(&counts, 0, sizeof counts);
}

static void measure(double seconds)
{
    memset(&counts, 0, sizeof counts);
    uint64_t began = clock_ns(CLOCK_MONOTONIC), used = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t until = began + (uint64_t)(seconds * 1e9), now = began;
    while (now < until) {
        turn((int)((until - now) / 1000000) + 1);
        now = clock_ns(CLOCK_MONOTONIC);
    }
    report((double)(now - began) / 1e9,
           (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - used) / 1e9);
}

static void stop(uint32_t count)
{
    for (uint32_t n = 0; n < all.count; n++) {
        struct reader *reader = &all.readers[n];
        bool stops = n < count;
        if (reader->state != FREE && stops != reader->stopped)
            hold(reader, stops);
    }
    all.stopped = count;
    printf("{\"stopped\":%u}\n", count);
}

static void churn(uint32_t at_once, double seconds)
{
    struct reader *before = all.readers;
    all.readers = calloc(at_once, sizeof *all.readers);
    all.churning = true;
    for (uint32_t n = 0; n < at_once; n++)
        start(&all.readers[n], n % all.symbol_count, true);
    measure(seconds);
    all.churning = false;
    for (uint32_t n = 0; n < at_once; n++)
        if (all.readers[n].state != FREE)
            end(&all.readers[n]);
    free(all.readers);
    all.readers = before;
}

static bool obey(void)
{
    char line[128];
    double seconds;
    uint32_t count;
    if (!fgets(line, sizeof line, stdin))
        return false;
    if (sscanf(line, "measure %lf", &seconds) == 1)
        measure(seconds);
    else if (strcmp(line, "count\n") == 0)
        report(0, 0);
    else if (sscanf(line, "stop %u", &count) == 1)
        stop(count < all.count ? count : all.count);
    else if (sscanf(line, "churn %u %lf", &count, &seconds) == 2)
        churn(count, seconds);
    else
        die("no such command");
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: readers PORT websocket|nats CONNECTIONS SYMBOL,SYMBOL,... [SOURCE]\n");
        return 2;
    }
    setvbuf(stdin, NULL, _IONBF, 0); /* epoll would not see a second line in stdio's buffer */
    setvbuf(stdout, NULL, _IOLBF, 0);
    all.server = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)atoi(argv[1])),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    all.source = (struct sockaddr_in){.sin_family = AF_INET};
    if (argc == 6 && inet_pton(AF_INET, argv[5], &all.source.sin_addr) != 1)
        die("SOURCE is not an address");
    all.protocol = strncmp(argv[2], "nats", 4) == 0 ? NATS : WEBSOCKET;
    if (strstr(argv[2], "+tls")) {
#ifdef WITH_TLS
        all.tls = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(all.tls, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_read_ahead(all.tls, 1);
        signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
#else
        die("compiled without OpenSSL");
#endif
    }
    all.count = (uint32_t)atoi(argv[3]);
    for (char *name = strtok(argv[4], ","); name; name = strtok(NULL, ",")) {
        all.symbols = realloc(all.symbols, (all.symbol_count + 1) * sizeof *all.symbols);
        all.symbols[all.symbol_count++] = name;
    }
    all.readers = calloc(all.count + 1, sizeof *all.readers);
    all.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event commands = {.events = EPOLLIN, .data.ptr = NULL};
    open_all();
    if (epoll_ctl(all.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &commands) < 0)
        die("stdin");
    for (;;)
        if (turn(1000) && !obey())
            return 0;
}
