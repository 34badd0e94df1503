#define _GNU_SOURCE
#include "connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, BUFFER = 1 << 18, RING = 1 << 16 };

struct all all;
struct counts counts;

/* Due times by quote number: parsed once, used for every reader. */
static struct { uint64_t seq, due; } dues[RING];

uint64_t clock_ns(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void die(const char *what)
{
    fprintf(stderr, "readers: %s: %s\n", what, errno ? strerror(errno) : "no reason");
    exit(1);
}

/* ---------------------------------------------------------------- bytes, with or without TLS */

#ifdef WITH_TLS
static ssize_t tls_result(struct reader *reader, int result)
{
    if (result > 0)
        return result;
    int error = SSL_get_error(reader->tls, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    return 0;
}

static bool shake(struct reader *reader)
{
    if (!reader->tls) {
        reader->tls = SSL_new(all.tls);
        SSL_set_fd(reader->tls, reader->fd);
        SSL_set_connect_state(reader->tls);
    }
    reader->state = SHAKING;
    return SSL_do_handshake(reader->tls) == 1;
}
#endif

static ssize_t put(struct reader *reader, const char *data, size_t size)
{
#ifdef WITH_TLS
    if (reader->tls)
        return tls_result(reader, SSL_write(reader->tls, data, (int)size));
#endif
    return send(reader->fd, data, size, MSG_NOSIGNAL);
}

static ssize_t take(struct reader *reader, char *buffer, size_t size)
{
#ifdef WITH_TLS
    if (reader->tls)
        return tls_result(reader, SSL_read(reader->tls, buffer, (int)size));
#endif
    return recv(reader->fd, buffer, size, 0);
}

/* ---------------------------------------------------------------- start and end */

static void watch(struct reader *reader, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = reader};
    if (epoll_ctl(all.epoll, operation, reader->fd, &event) < 0)
        die("epoll_ctl");
}

static bool say_request(struct reader *reader);

void start(struct reader *reader, uint32_t symbol, bool churns)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (all.source.sin_addr.s_addr != htonl(INADDR_ANY)) {
        /* The port is chosen by connect: it may be in use with another server, but not with this one. */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
        if (bind(fd, (struct sockaddr *)&all.source, sizeof all.source) < 0)
            die("bind");
    }
    if (connect(fd, (struct sockaddr *)&all.server, sizeof all.server) < 0 && errno != EINPROGRESS)
        die("connect");
    *reader = (struct reader){.fd = fd, .state = CONNECTING, .symbol = symbol, .churns = churns};
    all.opening++;
    /* On loopback the socket is connected by now. Behind thousands of busy readers, epoll may report it so
     * late that the server has timed out the handshake. */
    watch(reader, EPOLL_CTL_ADD, say_request(reader) ? EPOLLIN : EPOLLOUT);
}

void end(struct reader *reader)
{
    if (reader->state == OPEN || reader->state == LEAVING)
        all.open--;
    else
        all.opening--;
#ifdef WITH_TLS
    SSL_free(reader->tls);
#endif
    reader->tls = NULL;
    close(reader->fd); /* this also removes it from the epoll set */
    wire_free(&reader->wire);
    reader->state = FREE;
}

void hold(struct reader *reader, bool stops)
{
    reader->stopped = stops;
    watch(reader, stops ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, EPOLLIN);
}

static void say(struct reader *reader, const char *data, size_t size)
{
    if (put(reader, data, size) != (ssize_t)size)
        counts.faults++;
}

/* Sends a client frame with a mask of zeros (RFC 6455 section 5.3 requires a mask; zeros change nothing). */
static void say_frame(struct reader *reader, enum opcode opcode, const char *payload, size_t size)
{
    char frame[512] = {(char)(0x80 | opcode), (char)(0x80 | size)};
    size_t head = 6;
    if (size > 125) {
        frame[1] = (char)(0x80 | 126);
        frame[2] = (char)(size >> 8);
        frame[3] = (char)size;
        head = 8;
    }
    memcpy(frame + head, payload, size);
    say(reader, frame, head + size);
}

/* Returns whether it was sent; fails before the connection is established. With TLS, the handshake comes first. */
static bool say_request(struct reader *reader)
{
#ifdef WITH_TLS
    if (all.tls && !shake(reader))
        return true; /* it is on its way: the answer makes the socket readable */
#endif
    const char *name = all.symbols[reader->symbol];
    char request[512], path[64] = "/";
    if (all.protocol == WEBSOCKET)
        snprintf(path, sizeof path, "/quotes/%s", name);
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n",
                        path, ntohs(all.server.sin_port));
    if (put(reader, request, (size_t)size) != (ssize_t)size)
        return false;
    reader->state = HEAD;
    return true;
}

static void say_subscription(struct reader *reader)
{
    char text[256];
    int size = snprintf(text, sizeof text,
                        "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"version\":\"1\","
                        "\"protocol\":1}\r\nSUB quotes.%s 1\r\nPING\r\n",
                        all.symbols[reader->symbol]);
    reader->state = SUBSCRIBING;
    say_frame(reader, BINARY, text, (size_t)size);
}

static void opened(struct reader *reader)
{
    reader->state = OPEN;
    all.opening--;
    all.open++;
}

/* Checks the answer to the upgrade: the key of RFC 6455 section 1.3 and its accept value. */
static bool take_head(struct reader *reader, const char *data, size_t size)
{
    struct tail *tail = &reader->wire.payload;
    tail_keep(tail, data, size);
    const char *blank = memmem(tail->data, tail->size, "\r\n\r\n", 4);
    if (!blank)
        return tail->size < BUFFER;
    size_t head = (size_t)(blank - tail->data) + 4;
    if (memcmp(tail->data, "HTTP/1.1 101 ", 13) != 0 ||
        !memmem(tail->data, head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28)) {
        fprintf(stderr, "readers: no upgrade: %.*s\n", (int)head, tail->data);
        return false;
    }
    if (all.protocol == NATS)
        say_subscription(reader);
    else
        opened(reader);
    struct tail rest = *tail;
    *tail = (struct tail){0};
    bool good = wire_take(&reader->wire, all.protocol, rest.data + head, rest.size - head, reader);
    free(rest.data);
    return good;
}

/* ---------------------------------------------------------------- messages */

static void leave(struct reader *reader)
{
    if (reader->state == OPEN) {
        reader->state = LEAVING;
        say_frame(reader, CLOSE, "\x03\xe8", 2);
    }
}

static uint64_t due(const struct quote *quote)
{
    uint32_t place = quote->seq % RING;
    if (dues[place].seq != quote->seq) {
        dues[place].seq = quote->seq;
        dues[place].due = quote_due(quote);
    }
    return dues[place].due;
}

void heard_message(void *who, const char *text, size_t size)
{
    struct reader *reader = who;
    struct quote quote;
    if (!quote_read(text, size, &quote)) {
        counts.others++;
        return;
    }
    counts.delivered++;
    counts.conflated += quote.conflated;
    uint64_t expected = reader->seq + 1 + quote.conflated;
    if (reader->seq != 0 && quote.seq != expected) {
        counts.gaps++;
        counts.missing += quote.seq > expected ? quote.seq - expected : 0;
    }
    reader->seq = quote.seq;
    if (all.symbol_count == 1 && !all.churning) {
        uint64_t when = due(&quote);
        histogram_add(&counts.latency, all.now > when ? all.now - when : 0);
    }
    if (reader->churns)
        leave(reader);
}

void heard_control(void *who, enum opcode opcode, const char *payload, size_t size)
{
    if (opcode == PING)
        say_frame(who, PONG, payload, size < 126 ? size : 125);
}

void heard_nats(void *who, const char *line, size_t size)
{
    struct reader *reader = who;
    if (size >= 4 && memcmp(line, "PING", 4) == 0)
        say_frame(reader, BINARY, "PONG\r\n", 6);
    else if (size >= 4 && memcmp(line, "PONG", 4) == 0 && reader->state == SUBSCRIBING)
        opened(reader);
    else if (size >= 4 && memcmp(line, "-ERR", 4) == 0) {
        fprintf(stderr, "readers: %.*s", (int)size, line);
        counts.faults++;
    }
}

static void gone(struct reader *reader)
{
    bool politely = reader->state == LEAVING;
    if (reader->churns)
        counts.cycles += politely;
    if (!politely)
        counts.closed++;
    bool again = reader->churns && all.churning;
    uint32_t symbol = reader->symbol;
    end(reader);
    if (again)
        start(reader, symbol, true);
}

/* Returns whether there may be more to read at once: OpenSSL has read ahead. */
static bool read_once(struct reader *reader)
{
    static char buffer[BUFFER];
    ssize_t size = take(reader, buffer, sizeof buffer);
    if (size < 0 && errno == EAGAIN)
        return false;
    if (size <= 0) {
        gone(reader);
        return false;
    }
    counts.reads++;
    counts.bytes += (uint64_t)size;
    all.now = clock_ns(CLOCK_REALTIME);
    bool good = reader->state == HEAD
                    ? take_head(reader, buffer, (size_t)size)
                    : wire_take(&reader->wire, all.protocol, buffer, (size_t)size, reader);
    if (!good) {
        counts.faults++;
        gone(reader);
        return false;
    }
    return reader->tls != NULL;
}

static void readable(struct reader *reader)
{
    if (reader->state == SHAKING) {
        counts.faults += !say_request(reader);
        return;
    }
    while (read_once(reader))
        ;
}

bool turn(int timeout_ms)
{
    struct epoll_event events[EVENTS];
    bool command = false;
    int count = epoll_wait(all.epoll, events, EVENTS, timeout_ms);
    for (int n = 0; n < count; n++) {
        struct reader *reader = events[n].data.ptr;
        if (!reader) {
            command = true;
        } else if (reader->state == CONNECTING) {
            watch(reader, EPOLL_CTL_MOD, EPOLLIN);
            counts.faults += !say_request(reader);
        } else if (reader->state != FREE && !reader->stopped) {
            readable(reader);
        }
    }
    return command;
}
