/** SO_MARK of everything that weft sends through raw sockets, by which rules tell it from what the machine sends: "weft". */
export const MARK = 0x77656674;
