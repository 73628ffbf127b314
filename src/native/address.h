// An address of either family, as sockets take and give it.
#ifndef WEFT_ADDRESS_H
#define WEFT_ADDRESS_H

#include "weft.h"

#include <netinet/in.h>
#include <sys/socket.h>

union any_address {
  struct sockaddr base;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

#endif
