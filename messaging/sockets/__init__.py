"""Chat's sockets: the protocol of ``docs/asyncapi-chat.yaml``, on what live sockets have in common."""
