/*
 * The physical limit: a server that appends the body of each webhook to a file and syncs that before
 * it answers, all that arrived together with one write and one sync. It checks and indexes nothing.
 * Usage: limit PORT FILE
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 1024, REQUEST = 8192, BATCH = 1 << 20 };

static char requests[CONNECTIONS][REQUEST];
static int lengths[CONNECTIONS];
static const char answer[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";

static void check(int failed, const char *what) {
  if (!failed) return;
  perror(what);
  exit(1);
}

/* The body of a whole request; NULL: the rest of it has not arrived. */
static char *body_of(char *request, int length, int *body_length) {
  request[length] = 0;
  char *end = strstr(request, "\r\n\r\n");
  char *header = strcasestr(request, "content-length:");
  if (!end || !header) return NULL;
  *body_length = atoi(header + 15);
  return end + 4 + *body_length <= request + length ? end + 4 : NULL;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fputs("usage: limit PORT FILE\n", stderr);
    return 2;
  }
  int file = open(argv[2], O_CREAT | O_WRONLY | O_APPEND, 0600);
  check(file < 0, argv[2]);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons(atoi(argv[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  check(bind(listener, (void *)&address, sizeof address) || listen(listener, 512), "listen");
  int poll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[CONNECTIONS];
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);

  static char batch[BATCH];
  int waiting[CONNECTIONS];
  for (;;) {
    int count = epoll_wait(poll, events, CONNECTIONS, -1), bytes = 0, waiters = 0;
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (client < 0) continue;
        check(client >= CONNECTIONS, "too many connections");
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        event.data.fd = client;
        epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
        lengths[client] = 0;
        continue;
      }
      int got = read(fd, requests[fd] + lengths[fd], REQUEST - 1 - lengths[fd]);
      if (got <= 0) {
        close(fd);
        continue;
      }
      lengths[fd] += got;
      int length;
      char *body = body_of(requests[fd], lengths[fd], &length);
      if (!body || bytes + length > BATCH) continue;
      memcpy(batch + bytes, body, length);
      bytes += length;
      lengths[fd] = 0;
      waiting[waiters++] = fd;
    }
    if (waiters == 0) continue;
    check(write(file, batch, bytes) != bytes || fdatasync(file), argv[2]);
    for (int i = 0; i < waiters; i++) write(waiting[i], answer, sizeof answer - 1);
  }
}
