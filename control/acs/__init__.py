"""Call control of Azure Communication Services: calls by REST, their fate by CloudEvents."""
