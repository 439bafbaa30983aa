// What librdkafka says of a connection that failed, said so that it can be acted on.
#pragma once

#include <cstdint>
#include <string>

namespace tidemill::kafka {

struct Trouble {
  // What it tells. A connection that is refused may break first, or again: of several troubles the one that
  // ranks highest is the reason, whichever came last.
  enum Rank {
    kBroken,       // a connection ended, for whatever reason
    kUnreachable,  // no such name, nobody there
    kProtocol,     // the listener speaks another one
    kRefused,      // credentials, certificates
    kCertificate,  // the same, with what is wrong about the broker's certificate
  };
  // Whether the next try may succeed with nothing changed.
  enum Hope {
    kGood,  // a broker that is down, or a name that is not known yet
    kPoor,  // a wrong protocol, or an address that the cluster advertises wrongly
    kNone,  // refused
  };
  std::string text;  // with the way out
  Rank rank = kBroken;
  Hope hope = kGood;
};

// A broker that the cluster advertises, and that cannot be reached from here, is named as such. `answered`: a
// broker has answered this client before, so that the protocol is right.
Trouble explain_trouble(const std::string& reason, bool answered = false);

// The most telling trouble of a client's connections. Times are of the steady clock.
class Troubles {
 public:
  void note(const std::string& reason, int64_t now_ns);
  // A broker has answered.
  void got_through();
  // The one kept, while it may explain something; empty else.
  Trouble at(int64_t now_ns) const;
  // Whether it is in vain to wait on, as is done since `since_ns`.
  bool hopeless(int64_t since_ns, int64_t now_ns) const;

 private:
  Trouble kept_;
  int64_t heard_ns_ = 0;
  bool answered_ = false;
};

// OpenSSL's X509_V_ERR_… as words.
std::string certificate_problem(int x509_error);

}  // namespace tidemill::kafka
