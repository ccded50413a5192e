/*
 * listen - the socket on which the web server finds us: opened here, or inherited.
 */
#ifndef FA_HTTP_LISTEN_H
#define FA_HTTP_LISTEN_H

#include "core/error.h"

/*
 * The listening, non-blocking socket for unix:PATH (made with `mode`), HOST:PORT or fd:N; -1 with the error set. A unix
 * socket that a dead process left behind is replaced; one that somebody listens on is ERR_CONFLICT. With fd:N, or where
 * LISTEN_FDS says so (systemd socket activation), the inherited socket is used. *unix_path is the path of a unix socket
 * that was made here, for the caller to unlink and free; else NULL.
 */
int listen_open(const char *on, unsigned mode, char **unix_path, struct err *e);

#endif
