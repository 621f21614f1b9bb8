# The images of all services, as a release makes them: docker buildx bake
# Compose builds the same from docker-compose.yml, without a version in their tags.
variable "VERSION" {
  default = "0.1.0"
}

# The commit that they are made of.
variable "REVISION" {
  default = ""
}

# Where they will be pushed to, with a slash at its end.
variable "REGISTRY" {
  default = ""
}

target "default" {
  name = service
  matrix = {
    service = [
      "alerts",
      "api",
      "book",
      "exchange",
      "execution",
      "feed",
      "history",
      "killswitch",
      "ledger",
      "risk",
      "router",
      "strategy",
    ]
  }
  args = {
    SERVICE  = service
    VERSION  = VERSION
    REVISION = REVISION
  }
  tags = ["${REGISTRY}tickbus-${service}:${VERSION}"]
}
