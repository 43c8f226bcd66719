"""Routes that stand in for other servers, so that their clients can use this one as they are."""
