/* What a reader reads: RFC 6455 frames, NATS protocol inside them where wanted, and quotes.
 *
 * Bytes may be cut anywhere. A frame's payload is looked at where it lies when it came in one piece,
 * and is gathered in the reader's tail when it did not.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LARGEST_MESSAGE = 1 << 20 };

enum protocol { WEBSOCKET, NATS };

enum opcode { TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xA };

/* Bytes kept until the rest has come. */
struct tail {
    char *data;
    size_t size, room;
};

/* How far one connection's bytes are taken apart. */
struct wire {
    struct tail payload; /* of the frame at hand */
    struct tail stream;  /* NATS: what the frames carried, up to a whole operation */
    uint64_t left;      /* payload bytes of the frame at hand still to come */
    uint8_t head[10];
    uint8_t head_size;
    uint8_t opcode;
    bool in_payload;
};

struct quote {
    uint64_t seq, conflated;
    const char *text, *end; /* `end` is where `seq` begins; the time stands before it */
};

/* Whom the wire tells. `who` is passed through. */
void heard_message(void *who, const char *text, size_t size);
void heard_control(void *who, enum opcode opcode, const char *payload, size_t size);
void heard_nats(void *who, const char *line, size_t size);

/* Takes bytes as they came; false when they are not what a server may send. */
bool wire_take(struct wire *wire, enum protocol protocol, const char *data, size_t size, void *who);

void tail_keep(struct tail *tail, const char *data, size_t size);
void wire_free(struct wire *wire);

/* Whether a message is a quote, and which. */
bool quote_read(const char *text, size_t size, struct quote *quote);

/* Its time as nanoseconds since 1970; 0 where it has none. */
uint64_t quote_due(const struct quote *quote);

#endif
