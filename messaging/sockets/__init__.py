"""Chat's sockets: the protocol of ``docs/asyncapi.yaml``, on what live sockets have in common."""
