/* Parsers for a reader: RFC 6455 frames, the NATS protocol inside them if used, and quotes.
 *
 * Reads may split a frame anywhere. A payload in one piece is parsed in place; a split payload is collected
 * in the reader's tail.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LARGEST_MESSAGE = 1 << 20 };

enum protocol { WEBSOCKET, NATS };

enum opcode { TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xA };

/* Bytes kept until the rest arrives. */
struct tail {
    char *data;
    size_t size, room;
};

/* The parser's state of one connection. */
struct wire {
    struct tail payload; /* of the current frame */
    struct tail stream;  /* NATS: payload of the frames, up to a complete operation */
    uint64_t left;      /* missing payload bytes of the current frame */
    uint8_t head[10];
    uint8_t head_size;
    uint8_t opcode;
    bool in_payload;
};

struct quote {
    uint64_t seq, conflated;
    const char *text, *end; /* `end` is where `seq` begins; the time is before it */
};

/* Callbacks of the parser. `who` is passed through. */
void heard_message(void *who, const char *text, size_t size);
void heard_control(void *who, enum opcode opcode, const char *payload, size_t size);
void heard_nats(void *who, const char *line, size_t size);

/* Parses received bytes; returns false for data that a server must not send. */
bool wire_take(struct wire *wire, enum protocol protocol, const char *data, size_t size, void *who);

void tail_keep(struct tail *tail, const char *data, size_t size);
void wire_free(struct wire *wire);

/* Whether a message is a quote, and its number. */
bool quote_read(const char *text, size_t size, struct quote *quote);

/* The quote's time in nanoseconds since 1970; 0 if it has none. */
uint64_t quote_due(const struct quote *quote);

#endif
