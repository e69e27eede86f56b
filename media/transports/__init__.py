"""What carries a leg to and from a far end: WebRTC, the media link, and a pair without sockets."""
