"""A client of a mail server: leaves messages there by IMAP, reads them back, and counts them by POP3.

mail.py ADDRESS
"""

import imaplib
import poplib
import sys

BODY = b"Subject: lab\r\n\r\n" + b"0123456789abcdef\r\n" * 10_000


def main(server):
    for number in range(1, 6):
        imap = imaplib.IMAP4(server, timeout=10)
        imap.login("joe", "secret")
        imap.select()
        imap.append("INBOX", None, None, BODY)
        _, fetched = imap.fetch(str(number), "(RFC822)")
        assert fetched[0][1] == BODY, number
        imap.logout()
    print(number, "messages kept")
    pop = poplib.POP3(server, timeout=10)
    pop.user("joe")
    pop.pass_("secret")
    print(pop.stat()[0], "messages waited")
    pop.quit()


main(sys.argv[1])
