/* The limit: a server that only writes, as fast as the kernel allows. One thread, epoll.
 *
 *   limit FRAMES_PER_WRITE READERS RATE|max SYMBOL,SYMBOL,...
 *
 * It treats every connection as an upgrade with the key of RFC 6455 section 1.3, and all later data as a
 * close frame. It serves no other clients.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, FRAME = 256, HEAD = 1024, BACKLOG = 4096, FILES = 1 << 17, PATIENCE_MS = 1000 };

static const char SWITCHING[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                "Connection: Upgrade\r\n"
                                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct symbol {
    const char *name;
    uint64_t seq;
    int *readers;
    uint32_t count, room;
    char frame[FRAME]; /* the latest */
    size_t size;
};

struct connection {
    struct symbol *symbol;
    uint32_t place; /* index among the symbol's readers */
    char *head;
    size_t head_size;
};

static struct symbol *symbols;
static uint32_t symbol_count;
static struct connection connections[FILES];
static int epoll;
static uint32_t joined; /* readers accepted so far */

static uint64_t clock_ns(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---------------------------------------------------------------- connections */

static void leave(int fd)
{
    struct connection *connection = &connections[fd];
    struct symbol *symbol = connection->symbol;
    if (symbol) {
        int last = symbol->readers[--symbol->count];
        symbol->readers[connection->place] = last;
        connections[last].place = connection->place;
    }
    free(connection->head);
    *connection = (struct connection){0};
    close(fd);
}

/* Writes all data, or drops the connection. A reader that keeps up does not block for long. */
static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);
        if (done > 0) {
            data += done;
            size -= (size_t)done;
            continue;
        }
        struct pollfd full = {.fd = fd, .events = POLLOUT};
        if (errno != EAGAIN || poll(&full, 1, PATIENCE_MS) <= 0)
            return false;
    }
    return true;
}

static void join(int fd, struct symbol *symbol)
{
    if (symbol->count == symbol->room) {
        symbol->room = symbol->room * 2 + 16;
        symbol->readers = realloc(symbol->readers, symbol->room * sizeof *symbol->readers);
    }
    connections[fd].symbol = symbol;
    connections[fd].place = symbol->count;
    symbol->readers[symbol->count++] = fd;
    joined++;
    char answer[sizeof SWITCHING + FRAME];
    memcpy(answer, SWITCHING, sizeof SWITCHING - 1);
    memcpy(answer + sizeof SWITCHING - 1, symbol->frame, symbol->size);
    if (!write_all(fd, answer, sizeof SWITCHING - 1 + symbol->size))
        leave(fd);
}

static void take_head(int fd)
{
    struct connection *connection = &connections[fd];
    if (!connection->head)
        connection->head = calloc(1, HEAD);
    char *head = connection->head;
    ssize_t size = read(fd, head + connection->head_size, HEAD - 1 - connection->head_size);
    if (size <= 0) {
        leave(fd);
        return;
    }
    connection->head_size += (size_t)size;
    if (!strstr(head, "\r\n\r\n"))
        return;
    for (uint32_t n = 0; n < symbol_count; n++) {
        size_t length = strlen(symbols[n].name);
        if (strncmp(head + 12, symbols[n].name, length) == 0 && head[12 + length] == ' ') {
            free(connection->head);
            connection->head = NULL;
            join(fd, &symbols[n]);
            return;
        }
    }
    leave(fd);
}

static void readable(int fd)
{
    char ignored[HEAD];
    if (!connections[fd].symbol) {
        take_head(fd);
        return;
    }
    if (read(fd, ignored, sizeof ignored) > 0)
        write_all(fd, "\x88\x02\x03\xe8", 4);
    leave(fd);
}

static void accept_all(int listener)
{
    int fd, yes = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= FILES)
            die("too many files");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

/* ---------------------------------------------------------------- quotes */

static void make_frame(struct symbol *symbol, uint64_t due)
{
    static uint64_t second;
    static char date[32];
    if (due / 1000000000 != second) {
        second = due / 1000000000;
        time_t whole = (time_t)second;
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", gmtime(&whole));
    }
    char text[FRAME];
    int size = snprintf(text, sizeof text,
                        "{\"type\":\"quote\",\"symbol\":\"%s\",\"bid\":189.99,\"bid_size\":300,"
                        "\"ask\":190.01,\"ask_size\":100,\"last\":190.0,\"ts\":\"%s.%09uZ\","
                        "\"epoch\":\"7f3a1\",\"seq\":%lu}",
                        symbol->name, date, (unsigned)(due % 1000000000), ++symbol->seq);
    char *frame = symbol->frame;
    size_t head = size < 126 ? 2 : 4;
    frame[0] = (char)0x81;
    frame[1] = (char)(size < 126 ? size : 126);
    if (head == 4) {
        frame[2] = (char)(size >> 8);
        frame[3] = (char)size;
    }
    memcpy(frame + head, text, (size_t)size);
    symbol->size = head + (size_t)size;
}

/* Sends the next `count` quotes of a symbol, `step` ns apart, to its readers: one write per reader. */
static void publish(struct symbol *symbol, uint32_t count, uint64_t due, double step)
{
    static char batch[64 * FRAME];
    size_t size = 0;
    for (uint32_t n = 0; n < count; n++) {
        make_frame(symbol, due + (uint64_t)(n * step));
        memcpy(batch + size, symbol->frame, symbol->size);
        size += symbol->size;
    }
    for (uint32_t n = symbol->count; n-- > 0;)
        if (!write_all(symbol->readers[n], batch, size))
            leave(symbol->readers[n]);
}

/* Sends the quotes that are due, at most `most` per symbol; returns their number. */
static uint32_t publish_due(double rate, uint64_t start, uint64_t done, uint32_t most)
{
    uint64_t reached = (uint64_t)((double)(clock_ns(CLOCK_REALTIME) - start) * rate / 1e9) + 1;
    uint32_t count = reached - done < most ? (uint32_t)(reached - done) : most;
    if (count > 0)
        for (uint32_t n = 0; n < symbol_count; n++)
            publish(&symbols[n], count, start + (uint64_t)((double)done * 1e9 / rate), 1e9 / rate);
    return count;
}

static void publish_more(uint32_t count)
{
    for (uint32_t n = 0; n < symbol_count; n++)
        if (symbols[n].count > 0)
            publish(&symbols[n], count, clock_ns(CLOCK_REALTIME), 0);
}

/* ---------------------------------------------------------------- the loop */

static int listen_somewhere(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, BACKLOG) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void serve(int listener, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, timeout_ms);
    for (int n = 0; n < count; n++)
        if (events[n].data.fd == listener)
            accept_all(listener);
        else
            readable(events[n].data.fd);
}

/* epoll_wait waits in milliseconds; this waits in microseconds. */
static void serve_until(int listener, uint64_t due)
{
    struct timespec timeout = {0};
    uint64_t now = clock_ns(CLOCK_REALTIME);
    if (due > now) {
        timeout.tv_sec = (time_t)((due - now) / 1000000000);
        timeout.tv_nsec = (long)((due - now) % 1000000000);
    }
    struct pollfd ready = {.fd = epoll, .events = POLLIN};
    if (ppoll(&ready, 1, &timeout, NULL) > 0)
        serve(listener, 0);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: limit FRAMES_PER_WRITE READERS RATE|max SYMBOL,SYMBOL,...\n");
        return 2;
    }
    uint32_t most = (uint32_t)atoi(argv[1]), readers = (uint32_t)atoi(argv[2]);
    double rate = strcmp(argv[3], "max") == 0 ? 0 : atof(argv[3]);
    for (char *name = strtok(argv[4], ","); name; name = strtok(NULL, ",")) {
        symbols = realloc(symbols, (symbol_count + 1) * sizeof *symbols);
        symbols[symbol_count++] = (struct symbol){.name = name};
    }
    signal(SIGPIPE, SIG_IGN); /* a write to a closed reader must return an error */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_somewhere();
    uint64_t start = clock_ns(CLOCK_REALTIME), done = 0;
    for (;;) {
        if (rate > 0) {
            serve_until(listener, start + (uint64_t)((double)done * 1e9 / rate));
            done += publish_due(rate, start, done, most);
        } else if (joined < readers) { /* accepting 16,000 at full speed takes long */
            serve(listener, 1000);
        } else {
            serve(listener, 0);
            publish_more(most);
        }
    }
}
