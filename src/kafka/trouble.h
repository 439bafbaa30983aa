// What librdkafka says of a connection that failed, said so that it can be acted on.
#pragma once

#include <string>

namespace tidemill::kafka {

struct Trouble {
  // Whether the next try may succeed with nothing changed.
  enum Hope {
    kGood,  // a broker that is down, or a name that is not known yet
    kPoor,  // a wrong protocol, or a broker that is just going down
    kNone,  // refused: credentials, certificates
  };
  std::string text;  // with the way out
  Hope hope = kGood;
};

// A broker that the cluster advertises, and that cannot be reached from here, is named as such.
Trouble explain_trouble(const std::string& reason);

// OpenSSL's X509_V_ERR_… as words.
std::string certificate_problem(int x509_error);

}  // namespace tidemill::kafka
